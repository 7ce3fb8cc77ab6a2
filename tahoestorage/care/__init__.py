"""What keeps a store alive: checks, repairs, and what an operator asks for."""
