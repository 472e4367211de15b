"""What an answer says beside its verdict: why a schedule fails, and who was overtaken.

The `counterpart` of a failing schedule ends well, and `explanation` says what distinguishes them.
"""
