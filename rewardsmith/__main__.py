"""`python -m rewardsmith`: the command line."""

from rewardsmith.cli import main

main()
