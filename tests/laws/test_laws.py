"""Every law, on random stories."""

from hypothesis import given
from hypothesis import strategies as st
from scripts import attempts, clients, plans

from penstock.testing.laws import check_laws
from penstock.testing.run import run


@given(plan=plans(), upstream=st.lists(attempts(), max_size=5), client=clients())
def test_every_law_holds_for_any_story(plan, upstream, client):
    check_laws(run(plan, upstream, client))
