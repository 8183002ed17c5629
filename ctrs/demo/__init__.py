"""What the app shows before anybody has uploaded anything: simulated patients, marked as such."""
