"""The one table of tolerances. What a test allows beside these has its reason in that test."""

FLOAT64 = 1e-12  # float64, the same operations in another order
FLOAT64_SUM = 1e-9  # float64, long sums, or a solver in place of a formula
FLOAT32 = 1e-6  # float32, a few operations: some units in the last place of 1
FLOAT32_SUM = 1e-5  # float32, sums over a picture or a layer in another order
PARITY = 1e-4  # float32, a whole network against its reference or against itself in other chunks
HALF = 1e-3  # weights or activations kept as fp16: 2^-11, and a little beyond
TRAINED_APART = 2e-3  # losses of a few steps on a batch in parts: Adam makes whole steps of tiny gradients' rounding
