# provisioner: gives a new tenant its key and first root, and destroys the key
# of a tenant that leaves. It cannot decrypt.

# type is the one parameter of create: not exportable, no plaintext backup
path "{{mount}}/keys/+" {
  capabilities       = ["read", "update", "delete"]
  allowed_parameters = { "type" = ["aes256-gcm96"] }
}

# update, never create: encrypting under a missing key would make it
path "{{mount}}/encrypt/+" {
  capabilities       = ["update"]
  allowed_parameters = { "plaintext" = [], "associated_data" = [], "key_version" = [] }
}

path "{{mount}}/keys/+/rotate" {
  capabilities      = ["update"]
  denied_parameters = { "*" = [] }
}

path "{{mount}}/keys/+/config" {
  capabilities       = ["update"]
  allowed_parameters = { "min_encryption_version" = [], "min_decryption_version" = [], "deletion_allowed" = [true] }
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
