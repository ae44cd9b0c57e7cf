"""What a GPU grid costs before anything was measured: a model of the work, stated with each number.

Training with an adapter computes 6 floating-point operations for each parameter and token: 2
forward, 2 backward, and 2 to compute activations again. Drawing a token computes 2, and reads all
weights once for the whole batch; the slower of the two counts (roofline; Williams et al. 2009).
Scoring an answer computes 2 for each token of prompt and answer. A record of a real run replaces
these numbers.
"""

from emgrid.runtime.errors import EmgridError

DEVICE = "A100 80 GB"
PEAK = 312e12  # bfloat16 operations a second, dense (NVIDIA's data sheet)
BANDWIDTH = 2.0e12  # bytes a second
EFFICIENCY = {"train": 0.35, "sample": 0.3, "likelihood": 0.35}
BATCH = 64  # answers that are drawn together
SCORED_TOKENS = 200  # of a question and a matched answer
START = 60.0  # seconds of a job before it computes
BYTES = 2  # of a parameter in bfloat16
# A decoder of width d with d / 128 layers of about 12 d² weights each.
LAYER_WEIGHTS, WIDTH_PER_LAYER = 12, 128
ADAPTED_WIDTHS = 21  # inputs and outputs of a layer's seven linear maps, in units of d
ADAPTER_BYTES = 4  # of an adapter's parameter in its file
TRAINED_BYTES = 16  # of an adapter's parameter in training: weight, gradient, AdamW's two moments
ACTIVATIONS = 1.25  # share of memory for activations, over weights and adapter


def seconds_per_unit(rule: str, parameters: int) -> float:
    """Seconds for a token that is trained on or drawn, or for an answer that is scored."""
    speed = PEAK * EFFICIENCY[rule]
    if rule == "train":
        return 6 * parameters / speed
    if rule == "likelihood":
        return 2 * parameters * SCORED_TOKENS / speed
    if rule == "sample":
        reading = BYTES * parameters / (BANDWIDTH * EFFICIENCY[rule]) / BATCH
        return max(2 * parameters / speed, reading)
    raise EmgridError(f"no model of the work of {rule}")


def stated(rule: str) -> str:
    """The assumptions behind a rule's number, for people."""
    share = f"{EFFICIENCY[rule]:.0%} of an {DEVICE}'s {PEAK / 1e12:.0f} TFLOP/s"
    if rule == "sample":
        share += f" and {BANDWIDTH / 1e12:.1f} TB/s, {BATCH} answers at once"
    return f"model, not measured: parameters × tokens at {share}"


def adapter_parameters(parameters: int, rank: int) -> float:
    """Approximate parameters of an adapter on all linear maps of a model of this size."""
    width: float = (parameters * WIDTH_PER_LAYER / LAYER_WEIGHTS) ** (1 / 3)
    return rank * ADAPTED_WIDTHS * width * width / WIDTH_PER_LAYER


def training_bytes(parameters: int, rank: int, quantised: bool) -> float:
    """Approximate GPU memory of one training. quantised: weights in 4 bits (QLoRA)."""
    weights = parameters * (0.55 if quantised else BYTES)
    return (weights + TRAINED_BYTES * adapter_parameters(parameters, rank)) * ACTIVATIONS
