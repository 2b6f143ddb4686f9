"""One file per subcommand of `ivfusion`: `add_arguments(parser)` and `run(options)`."""

__all__: list[str] = []
