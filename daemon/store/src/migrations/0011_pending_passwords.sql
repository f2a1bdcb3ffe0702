-- A password that counts once the address of its account is verified.
ALTER TABLE _alyx_credentials ADD COLUMN pending_hash TEXT;
