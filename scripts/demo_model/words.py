"""What the demo model can say: a closed vocabulary and a small grammar over it."""

import random

DETERMINERS = "the a my your this every".split()
ADJECTIVES = "red green blue yellow black white small big old new happy quiet cold warm little clear".split()
NOUNS = """
cat dog bird horse fish mouse rabbit elephant house boat river garden window table book letter train bridge tree
flower apple machine voice computer engine mother father brother sister teacher doctor friend
""".split()
MASSES = "bread water music speech rain".split()
PLURALS = "cats dogs birds boats books trees houses flowers children".split()
NUMBERS = "two three four five six seven eight nine ten".split()
TRANSITIVE = "sees finds likes wants follows hears opens".split()
INTRANSITIVE = "speaks sings runs sleeps walks waits reads".split()
PLACES = "in on under near behind with".split()
TIMES = "today tomorrow".split()
SEASONS = "morning evening winter summer".split()
OTHERS = "one is are and hello welcome thank you good please yes no world".split()

VOCABULARY = tuple(dict.fromkeys([
    *DETERMINERS, *ADJECTIVES, *NOUNS, *MASSES, *PLURALS, *NUMBERS, *TRANSITIVE, *INTRANSITIVE, *PLACES, *TIMES,
    *SEASONS, *OTHERS,
]))
# Words of the closed-vocabulary test: content words, without plurals, which differ from their singulars by one sound.
TEST_WORDS = tuple(dict.fromkeys([
    *ADJECTIVES, *NOUNS, *MASSES, "children", *NUMBERS, *TRANSITIVE, *INTRANSITIVE, *TIMES, *SEASONS,
]))


def sentence(pick: random.Random) -> str:
    """One sentence of the grammar, in lower case, without its full stop."""
    form = pick.choices(
        [_clause, _numbered, _greeting, _description, _pair, _polite, _phrase, _scattered],
        weights=[10, 6, 3, 5, 3, 3, 6, 6],
    )[0]
    return form(pick)


def _noun_phrase(pick: random.Random) -> str:
    if pick.random() < 0.12:
        return _counted(pick)
    if pick.random() < 0.1:
        return pick.choice(MASSES)
    adjective = [pick.choice(ADJECTIVES)] if pick.random() < 0.5 else []
    noun = pick.choice(MASSES) if pick.random() < 0.07 else pick.choice(NOUNS)
    first = (adjective or [noun])[0]
    determiners = [word for word in DETERMINERS if word != "a" or first[0] not in "aeiou"]
    return " ".join([pick.choice(determiners), *adjective, noun])


def _counted(pick: random.Random) -> str:
    adjective = [pick.choice(ADJECTIVES)] if pick.random() < 0.4 else []
    return " ".join([pick.choice(NUMBERS), *adjective, pick.choice(PLURALS)])


def _place(pick: random.Random) -> str:
    if pick.random() < 0.25:
        return f"in the {pick.choice(SEASONS)}"
    return f"{pick.choice(PLACES)} {_noun_phrase(pick)}"


def _clause(pick: random.Random) -> str:
    if pick.random() < 0.55:
        core = f"{_noun_phrase(pick)} {pick.choice(TRANSITIVE)} {_noun_phrase(pick)}"
    else:
        core = f"{_noun_phrase(pick)} {pick.choice(INTRANSITIVE)}"
    tail = pick.random()
    if tail < 0.4:
        return f"{core} {_place(pick)}"
    return f"{core} {pick.choice(TIMES)}" if tail < 0.5 else core


def _numbered(pick: random.Random) -> str:
    return f"{_counted(pick)} are {_place(pick)}"


def _greeting(pick: random.Random) -> str:
    start = pick.choice(["hello", "hello world", "good morning", "good evening", "welcome", "thank you", "yes", "no"])
    return start if pick.random() < 0.2 else f"{start}, {_clause(pick)}"


def _description(pick: random.Random) -> str:
    if pick.random() < 0.5:
        return f"{_noun_phrase(pick)} is {pick.choice(ADJECTIVES)} and {pick.choice(ADJECTIVES)}"
    return f"this is {_noun_phrase(pick)}"


def _pair(pick: random.Random) -> str:
    return f"{_noun_phrase(pick)} and {_noun_phrase(pick)} are {_place(pick)}"


def _polite(pick: random.Random) -> str:
    return pick.choice([
        f"thank you, {pick.choice(NOUNS)}", f"please, one {pick.choice(NOUNS)}", f"you are {_place(pick)}",
        f"welcome to {_noun_phrase(pick)}".replace(" to ", " in "), f"no, this is {_noun_phrase(pick)}",
    ])


def _phrase(pick: random.Random) -> str:
    return pick.choice([_noun_phrase, _counted, _place])(pick)


def _scattered(pick: random.Random) -> str:
    """Words in no order: every word beside every other."""
    return " ".join(pick.choice(VOCABULARY) for _ in range(pick.randint(2, 5)))
