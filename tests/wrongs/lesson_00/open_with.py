# %% Deposits without opening
# expects: Open it first
def open_with(client, account_id, dollars):
    return client.deposit(account_id, dollars).balance


# %% Returns the whole reply
# expects: Return only its field `balance`
def open_with(client, account_id, dollars):
    client.create_account(account_id)
    return client.deposit(account_id, dollars)


# %% Prints and returns nothing
# expects: is not enough
def open_with(client, account_id, dollars):
    client.create_account(account_id)
    print(client.deposit(account_id, dollars).balance)


# %% Returns the balance before the deposit
# expects: from before the deposit
def open_with(client, account_id, dollars):
    reply = client.create_account(account_id)
    client.deposit(account_id, dollars)
    return reply.balance


# %% Opens a fixed account
# expects: Redis has no account carol
def open_with(client, account_id, dollars):
    client.create_account("alice")
    return client.deposit("alice", 10).balance


# %% Deposits nothing
# expects: its balance is still 0
def open_with(client, account_id, dollars):
    client.create_account(account_id)
    return dollars
