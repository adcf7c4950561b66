"""torchrun, for releases of PyTorch before 2.0 on Python 3.11 and later.

There, iterating over a flag enumeration passes over its zero, and torchrun looks for "redirect nothing" in that way."""


def main():
    from torch.distributed.elastic.multiprocessing import Std
    from torch.distributed.run import main as run
    by_name = Std.from_str

    def from_str(value):
        return Std.NONE if value == '0' else by_name(value)
    Std.from_str = from_str
    return run()
