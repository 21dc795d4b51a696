"""A gate's terms in words."""

from agents.rules import ANYONE, Terms
from console.text import duration


def terms_text(terms: Terms) -> str:
    """Who decides, how many, by when, who is next, and what happens when nobody does."""
    who = ", ".join(terms.approvers) or ANYONE
    parts = [f"{terms.needed} of {who}" if terms.needed > 1 else who]
    if not terms.requester_counts:
        parts.append("not the requester")
    parts += [f"then after {duration(rung.after)} {', '.join(rung.to)}" for rung in terms.escalate]
    if terms.deadline is not None:
        parts.append(f"within {duration(terms.deadline)}, else {terms.nobody.replace('_', ' ')}")
    return "; ".join(parts)
