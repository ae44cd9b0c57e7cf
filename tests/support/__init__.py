"""What several tests share: fixtures' makers, real servers and clusters, stand-ins."""
