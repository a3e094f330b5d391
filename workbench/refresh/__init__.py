"""Refresh: plan → fetch → land → commit → log, from the best source that has the data.

chain      the sources that are asked, best first, and why any is left out
plan       a pure decision over listings and landing records; legs, what is asked of sources of rows; repair, from gaps to a plan
crews      who fetches and lands: threads of this process, an executor, a cluster; working, what a worker elsewhere does
run        fetching and landing side by side; batch, what waits to be committed together
asking     what flat files lack, from the API and from Yahoo; gathering, reference data
log        what the journal keeps of a run; summary, what a person is told of it
"""
