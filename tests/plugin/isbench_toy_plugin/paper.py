from isbench.papers import Paper, PaperTable, Question, Row

SCANS = Question("scans", 3, "noc@90")
TWO = Row("Ours", "two small networks", "scans", "toy-two")
NEAREST = Row("", model="nearest")  # not in the paper

clicks = PaperTable(
    name="1",
    title="clicks to IoU 0.90",
    rows=(TWO, NEAREST),
    questions=(SCANS,),
    published={(TWO, SCANS): 1.25},
)
paper = Paper(name="toy-paper", title="A paper about toys (2026)", tables=(clicks,))
