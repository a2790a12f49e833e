"""Network components shared by two or more models; outside of training only they import torch."""
