"""What an evaluation looks like to a person: Table 2 of Fu et al. (2024) beside ours, the paper's figures, one page."""
