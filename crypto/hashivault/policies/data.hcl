# data: what a front may do. Decrypt, and nothing else: with encrypt beside it,
# a front could rewrap a forgotten root under a version that lives on.

path "{{mount}}/decrypt/+" {
  capabilities       = ["update"]
  allowed_parameters = { "ciphertext" = [], "associated_data" = [] }
}

# keep its own token alive
path "auth/token/renew-self" {
  capabilities = ["update"]
}

path "auth/token/lookup-self" {
  capabilities = ["read"]
}

# and be told what it may do itself, which lethe doctor compares with this
path "sys/capabilities-self" {
  capabilities = ["update"]
}
