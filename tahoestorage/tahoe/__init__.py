"""The Tahoe-LAFS side: caps, the gateway, directories and files. No Django here."""
