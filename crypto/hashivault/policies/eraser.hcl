# eraser: moves a tenant to its next epoch. It wraps the new root under an
# existing key, destroys older versions, and can neither make a key, nor delete
# one, nor make one exportable.

path "{{mount}}/decrypt/+" {
  capabilities       = ["update"]
  allowed_parameters = { "ciphertext" = [], "associated_data" = [] }
}

# update, never create: encrypting under a missing key would make it
path "{{mount}}/encrypt/+" {
  capabilities       = ["update"]
  allowed_parameters = { "plaintext" = [], "associated_data" = [], "key_version" = [] }
}

path "{{mount}}/keys/+" {
  capabilities = ["read"]
}

path "{{mount}}/keys/+/rotate" {
  capabilities      = ["update"]
  denied_parameters = { "*" = [] }
}

path "{{mount}}/keys/+/config" {
  capabilities       = ["update"]
  allowed_parameters = { "min_encryption_version" = [], "min_decryption_version" = [] }
}

path "{{mount}}/keys/+/trim" {
  capabilities       = ["update"]
  allowed_parameters = { "min_available_version" = [] }
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
