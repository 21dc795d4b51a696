"""The sign and the style of each state."""

MARKS = {
    "done": ("✓", "green"),
    "over": ("✓", "green"),
    "accepted": ("✓", "green"),
    "failed": ("✗", "red"),
    "lost": ("✗", "red"),
    "refused": ("✗", "red"),
    "cancelled": ("✗", "yellow"),
    "terminated": ("✗", "red"),
    "timed out": ("✗", "red"),
    "denied": ("✗", "yellow"),
    "unknown": ("!", "bold red"),
    "waiting": ("?", "bold yellow"),
    "in flight": ("→", "cyan"),
    "planned": ("→", "cyan"),
    "note": ("·", "dim"),
}


def mark(state: str) -> tuple[str, str]:
    """A state's sign and its style, for `Text.assemble`."""
    sign, style = MARKS[state]
    return (f"{sign} ", style)
