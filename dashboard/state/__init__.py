"""What a reader has chosen: kept in the address, shared by pages."""
