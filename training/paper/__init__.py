"""The procedure of Fu et al. (2024): balanced, augmented images, the search for hyperparameters, and experiments."""
