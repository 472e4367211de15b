# %% One after the other
# expects: One client must read too early
schedule = "AAABBBCCC"


# %% Loses two deposits
# expects: are both lost
schedule = "ABCABCABC"


# %% Loses A's deposit
# expects: but it is A's: B had read before A committed
schedule = "BAAABBCCC"


# %% Loses C's deposit
# expects: but it is C's
schedule = "BCCCBBAAA"


# %% A takes one step
# expects: A takes 1 in your schedule
schedule = "ABBBCCC"


# %% A space
# expects: without spaces
schedule = "ABBBAA CCC"


# %% A list
# expects: must be a text
schedule = ["A", "B", "B", "B", "A", "A"]
