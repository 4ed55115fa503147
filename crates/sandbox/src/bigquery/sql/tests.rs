//! What the engine does with the statements of loaders.
