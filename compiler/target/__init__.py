"""How a chip is described to the compiler: its data (`description`) and its protocol (`backend`)."""
