"""Dayfly, a short-lived code-signing certificate authority that speaks Fulcio's wire protocol."""
