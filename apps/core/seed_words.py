"""The material that `apps.core.seed_text` makes its texts from: people, subjects, sentences."""

from typing import NamedTuple

# Given and family names that belong together, so that nobody is called Yuki O'Sullivan by accident.
PEOPLE: tuple[tuple[str, str], ...] = (
    ("Amara Chidi Ngozi Emeka Ifeoma Obinna", "Okafor Eze Nwosu Adeyemi Balogun"),
    ("Yuki Haruto Sakura Ren Aoi Kenji", "Tanaka Sato Suzuki Watanabe Mori"),
    ("Siobhán Niamh Cormac Eoin Aoife Declan", "O'Sullivan Byrne Kelly Doyle Gallagher"),
    ("Lucía Mateo Valentina Joaquín Camila Andrés", "García Fernández Quispe Morales Castañeda"),
    ("Wanjiru Kamau Achieng Otieno Njeri Kiprop", "Mwangi Odhiambo Kimani Wekesa Cheruiyot"),
    ("Priya Arjun Ananya Vikram Meera Rohan", "Sharma Iyer Patel Banerjee Reddy"),
    ("Zofia Jakub Małgorzata Łukasz Agnieszka Piotr", "Kowalska Nowak Wiśniewski Zieliński Wójcik"),
    ("Astrid Søren Freja Magnus Ingrid Bjørn", "Lindqvist Hansen Bergström Nygård Halvorsen"),
    ("Leïla Karim Nadia Youssef Samira Idriss", "Benali Haddad El-Amrani Mansouri Ziani"),
    ("Minh Linh Thảo Quang Hương Đức", "Nguyễn Trần Phạm Lê Hoàng"),
    ("Élodie Bastien Camille Thibault Margaux Rémi", "Lefèvre Moreau Girard Dubois Rousseau"),
    ("Jürgen Anke Matthias Friederike Jonas Käthe", "Müller Schäfer Weiß Brandt Köhler"),
    ("Noa Eitan Tamar Yonatan Shira Avi", "Levi Mizrahi Friedman Azoulay Peretz"),
    ("Oluwaseun Temitope Folake Babatunde Yetunde Kayode", "Ogunleye Afolabi Adebayo Olatunji Fashola"),
    ("Mei Jun Xiuying Wei Lan Hao", "Chen Zhang Liu Huang Zhao"),
    ("Jisoo Minjun Hana Dohyun Seoyeon Taeyang", "Kim Park Choi Jeong Kang"),
    ("Defne Emre Zeynep Kerem Elif Barış", "Yılmaz Demir Öztürk Aydın Çelik"),
    ("João Beatriz Thiago Larissa Rafael Conceição", "Silva Souza Oliveira Araújo Magalhães"),
    ("Aroha Tane Mere Wiremu Hine Rangi", "Ngata Tamihana Parata Henare Walker"),
    ("Parisa Dariush Shirin Kaveh Laleh Omid", "Rahimi Karimi Shirazi Moradi Tehrani"),
    ("Ольга Дмитрий Наталья Сергій Оксана", "Шевченко Бондаренко Ковальчук Мельник"),
    ("Ελένη Γιώργος Κατερίνα Νίκος Δήμητρα", "Παπαδάκη Οικονόμου Βασιλείου Αλεξίου"),
    ("Aaliyah Marcus Denise Terrence Gwendolyn", "Washington Brooks Carter Freeman Hayes"),
    ("Malia Keanu Leilani Kai Noelani", "Kahale Kealoha Akana Nakamura"),
)

JOBS = (
    "Nurse", "Bus driver", "Physics teacher", "Librarian", "Retired engineer", "Carpenter", "Student",
    "Translator", "Vet", "Software tester", "Baker", "Father of three", "Grandmother of five", "Surveyor",
    "Night-shift worker", "Illustrator", "Electrician", "Midwife", "Postman", "Civil servant",
    "Sound technician",
)  # fmt: skip
CITIES = (
    "Lagos", "Kyoto", "Cork", "Cusco", "Nairobi", "Pune", "Gdańsk", "Bergen", "Rabat", "Huế", "Lyon",
    "Leipzig", "Haifa", "Ibadan", "Chengdu", "Busan", "İzmir", "Recife", "Rotorua", "Shiraz", "Lviv",
    "Patras", "Detroit", "Hilo",
)  # fmt: skip


class Topic(NamedTuple):
    """A subject and its vocabulary. Every phrase fits where the templates below name its field."""

    name: str  # of its tag
    subject: str  # fits after "about"
    things: tuple[str, ...]  # plural
    tools: tuple[str, ...]  # plural
    troubles: tuple[str, ...]  # singular, without an article
    steps: tuple[str, ...]  # infinitives


def _topic(name: str, subject: str, things: str, tools: str, troubles: str, steps: str) -> Topic:
    lists = (tuple(part.strip() for part in text.split("|")) for text in (things, tools, troubles, steps))
    return Topic(name, subject, *lists)


TOPICS: tuple[Topic, ...] = (
    _topic(
        "Bread",
        "baking bread",
        "loaves|starters|rye doughs|flatbreads",
        "bannetons|digital scales|cast-iron pots",
        "dense crumb|sour smell|pale crust",
        "fold the dough every half hour|weigh the water|let it rest overnight",
    ),
    _topic(
        "Gardening",
        "growing vegetables",
        "seedlings|raised beds|tomatoes|runner beans",
        "hoes|cold frames|compost bins",
        "slug problem|late frost|clay soil",
        "water in the morning|mulch before June|sow a little every fortnight",
    ),
    _topic(
        "Cycling",
        "cycling to work",
        "commutes|long climbs|wet descents|night rides",
        "panniers|mudguards|track pumps",
        "slow puncture|creaking bottom bracket|headwind",
        "clean the chain|plan the quiet streets|leave ten minutes early",
    ),
    _topic(
        "Woodworking",
        "working with wood",
        "dovetails|shelves|stools|drawer fronts",
        "chisels|block planes|marking gauges",
        "tear-out|wobbly leg|split board",
        "sharpen before each session|cut a test joint|mark the face side",
    ),
    _topic(
        "Photography",
        "taking photographs",
        "portraits|contact sheets|street scenes|negatives",
        "tripods|prime lenses|light meters",
        "flat light|shutter lag|cluttered background",
        "wait for the second moment|take one lens only|print the good ones",
    ),
    _topic(
        "Databases",
        "running databases",
        "indexes|migrations|backups|slow queries",
        "query plans|connection pools|replicas",
        "lock that nobody released|missing index|bloated table",
        "read the plan first|restore a backup every month|name the constraints",
    ),
    _topic(
        "Python",
        "writing Python",
        "type hints|small modules|test suites|scripts",
        "linters|virtual environments|profilers",
        "circular import|slow test suite|mutable default",
        "write the test first|delete the dead code|read the traceback from the bottom",
    ),
    _topic(
        "Hiking",
        "walking in the hills",
        "ridges|day walks|river crossings|huts",
        "paper maps|walking poles|head torches",
        "blister|sudden fog|washed-out path",
        "turn back at noon|tell somebody the route|pack the rain jacket on top",
    ),
    _topic(
        "Coffee",
        "making coffee",
        "pour-overs|light roasts|espressos|cold brews",
        "burr grinders|gooseneck kettles|paper filters",
        "bitter cup|uneven grind|stale bag",
        "rinse the filter|change one thing at a time|write down the ratio",
    ),
    _topic(
        "Board games",
        "playing board games",
        "game nights|two-player games|expansions|house rules",
        "card sleeves|dice trays|score pads",
        "three-hour rules explanation|runaway leader|missing piece",
        "teach by playing a round|set a timer|let the youngest begin",
    ),
    _topic(
        "Birds",
        "watching birds",
        "waders|warblers|dawn counts|nest boxes",
        "binoculars|notebooks|spotting scopes",
        "backlit view|noisy road|misread call",
        "sit still for twenty minutes|learn one song a week|count before naming",
    ),
    _topic(
        "Sewing",
        "sewing clothes",
        "shirts|zips|hems|trouser patterns",
        "seam rippers|fabric weights|overlockers",
        "puckered seam|crooked hem|stretched neckline",
        "press every seam|make a test garment|cut on the single layer",
    ),
    _topic(
        "Languages",
        "learning a language",
        "flash cards|verb tables|tandem partners|short novels",
        "dictionaries|podcasts|grammar books",
        "plateau|embarrassing mistake|forgotten gender",
        "speak on the first day|read aloud|repeat a little every evening",
    ),
    _topic(
        "Running",
        "running",
        "tempo runs|long Sundays|hill repeats|rest days",
        "running shoes|training logs|foam rollers",
        "sore knee|bad pacing|lost motivation",
        "slow down on easy days|lay the clothes out at night|sleep one hour more",
    ),
    _topic(
        "Beekeeping",
        "keeping bees",
        "hives|queens|swarms|frames",
        "smokers|hive tools|feeders",
        "wet winter|mite count|robbing colony",
        "open the hive on warm days only|leave enough honey|write the queen's year on the lid",
    ),
    _topic(
        "Self-hosting",
        "hosting things yourself",
        "home servers|backups|certificates|mail relays",
        "reverse proxies|disk shelves|status pages",
        "full disk|forgotten renewal|noisy fan",
        "automate the boring part|test the restore|document the one odd setting",
    ),
    _topic(
        "Local history",
        "local history",
        "parish registers|old maps|factory records|oral histories",
        "archives|scanners|index cards",
        "missing year|illegible hand|confident legend",
        "ask the oldest neighbour|note the source at once|visit the place itself",
    ),
    _topic(
        "Pottery",
        "throwing pots",
        "bowls|handles|glazes|test tiles",
        "kilns|trimming tools|bats",
        "hairline crack|glaze run|warped rim",
        "wedge longer than seems needed|dry slowly|glaze a test tile first",
    ),
    _topic(
        "Astronomy",
        "looking at the sky",
        "star parties|double stars|planets|sketches",
        "red torches|finder scopes|star charts",
        "light pollution|dewed mirror|cloudy new moon",
        "let the eyes adapt|begin with the Moon|sketch before reading about it",
    ),
    _topic(
        "Singing",
        "singing in a choir",
        "rehearsals|rounds|alto parts|concerts",
        "tuning forks|pencils|folders",
        "flat third|missing tenor|echoing church",
        "breathe before the upbeat|listen to the basses|mark the pages",
    ),
    _topic(
        "Open source",
        "maintaining open source",
        "issues|releases|changelogs|first contributions",
        "issue templates|release scripts|bots",
        "abandoned dependency|unclear bug report|burnt-out maintainer",
        "say no early|thank people by name|release small and often",
    ),
    _topic(
        "Cooking",
        "cooking for many",
        "stews|market lists|leftovers|pickles",
        "sharp knives|big pots|freezer labels",
        "bland broth|cold plate|burnt onion",
        "salt in stages|taste before serving|cook the rice last",
    ),
    _topic(
        "Sailing",
        "sailing small boats",
        "tides|moorings|reefs in the sail|night passages",
        "tide tables|lifelines|hand-bearing compasses",
        "tangled halyard|wrong tide|leaking hatch",
        "reef early|check the forecast twice|coil every rope",
    ),
    _topic(
        "Home repair",
        "repairing an old house",
        "windows|floorboards|gutters|plaster walls",
        "spirit levels|heat guns|caulking guns",
        "damp corner|stuck sash|hidden pipe",
        "find the cause first|photograph before opening a wall|finish one room",
    ),
    _topic(
        "Teaching",
        "teaching",
        "first lessons|group projects|seating plans|quiet pupils",
        "whiteboards|exit tickets|timers",
        "silent class|broken projector|rushed ending",
        "plan the last five minutes|ask, then wait|learn every name in week one",
    ),
)

LABELS = (
    "Beginners", "How-to", "Tools", "Opinion", "Lessons learned", "Weekend projects", "On a budget",
    "Community", "Mistakes", "Deep dives", "Reviews", "Winter", "Summer", "Questions", "Interviews",
    "Family", "Travel", "Sustainability", "Workshops", "Books", "Safety", "Planning", "Experiments",
    "Small wins", "Routine",
)  # fmt: skip
QUALIFIERS = (
    "Urban", "Advanced", "Traditional", "Slow", "Nordic", "Modern", "Frugal", "Seasonal", "Historical",
    "Accessible", "Minimal", "Group", "Solo", "Evening", "Coastal", "Alpine", "Rural", "Early-morning",
    "Experimental", "Quiet",
)  # fmt: skip

TITLES = (
    "What {years} years of {subject} taught me", "A slow introduction to {subject}", "In defence of {things}",
    "The trouble with {things}", "How I got rid of the {trouble}", "Stop buying {tools}",
    "{Tools}, ranked by regret",
    "Why I always {step}", "Notes on {things} for people in a hurry", "You do not need better {tools}",
    "Letters from a beginner: {subject}", "{Things} and the art of waiting", "{Subject} with children around",
    "Three mistakes I made with {things}", "{Subject} when it rains", "Before you blame the {trouble}",
    "My year of {subject}", "{Subject} on fifty a month", "Everything I believed about {things} was wrong",
    "A small theory of {things}", "{Step}: the best advice I ignored", "What nobody says about {subject}",
    "Borrow, do not buy: {tools}", "Field notes: {things} in {city}", "The {trouble}, explained",
    "Ask me about {things}", "{Subject} at seventy", "How we share {tools} in our street",
    "{Things} worth the effort",
    "From {city}: {subject} in a small flat", "A checklist for {things}", "The quiet pleasure of {things}",
)  # fmt: skip

OPENINGS = (
    "I came to {subject} late and by accident, which may be why I still pay attention to {things}.",
    "Last week somebody in {city} asked me about {things}, and my answer was too short to be honest.",
    "For {years} years I thought that {subject} was mostly a question of {tools}.",
    "My neighbour says that people who write about {things} should first show theirs. Fair enough.",
    "There are two kinds of advice on {subject}: the kind that sells {tools}, and the kind that you forget.",
    "This began as a reply to a comment about the {trouble} and grew out of hand.",
    "Nobody warned me that {subject} would change how I spend my Sundays.",
    "When the {trouble} came back for the third time, I stopped reading and started taking notes.",
)
SENTENCES = (
    "The first thing to accept is that {things} take longer than you think.",
    "I used to own four sets of {tools}; today I own one and look after it.",
    "If you remember only one sentence, let it be this: {step}.",
    "Most of what looks like talent turns out to be the habit to {step}.",
    "A friend from {city} taught me to {step}, and I have not seen the {trouble} since.",
    "It is tempting to blame the {tools}, but the {trouble} was my own doing.",
    "We tried it both ways for a month, and the difference was smaller than either camp had promised.",
    "There is a point where more {tools} only mean more to clean.",
    "The {trouble} usually shows itself on the day when you have guests.",
    "What surprised me most about {things} was how forgiving they are once you slow down.",
    "In {city} they do it the other way round, and theirs come out just as well.",
    "I keep a notebook for {things}, with the date, the weather and one honest line.",
    "You can learn this from a book, though an afternoon beside somebody who knows is worth ten of them.",
    "The cheap version works for about {years} years, which is longer than my last three resolutions.",
    "Some of it is luck, and pretending otherwise only makes beginners feel stupid.",
    "Ask what happens when it goes wrong; the answer tells you whether the advice is any good.",
    "After that, {things} stopped being a project and became part of the week.",
    "I have changed my mind about {tools} twice, and I reserve the right to do it again.",
    "The rule of thumb that served me best is to {step} even when it seems unnecessary.",
    "It helps to have one person who tells you the truth about your {things}.",
    "My records say that the {trouble} cost me eleven evenings last year.",
    "That is also when I learned to {step}, mostly by forgetting to.",
    "None of this is new: my grandmother knew it, and she had neither {tools} nor opinions about them.",
    "Doing it badly every week beats doing it perfectly in spring.",
    "When in doubt I do less, wait a day, and look at it again in daylight.",
    "The photographs never show the {trouble}, which is why everybody believes theirs is the only one.",
    "If the budget allows one good thing, spend it on {tools} and borrow the rest.",
    "By the second winter I could tell from the sound alone whether something was off.",
    "There is no shame in starting over; I have thrown away more {things} than I have kept.",
    "A shared list on the kitchen door did more for us than any app.",
    "The trick is to {step}, and then to make that the easy thing to do.",
    "I asked around in {city} and got five answers, four of them from people who had never tried.",
)
HEADINGS = (
    "What went wrong", "What I would do again", "The short version", "A word on {tools}", "Where to begin",
    "The {trouble}", "What it costs", "Things I stopped doing", "How we do it now", "Open questions",
)  # fmt: skip
CLOSINGS = (
    "That is all I know. If your {things} tell a different story, I would like to hear it.",
    "Next time I will write about {tools}, unless the {trouble} gets in the way again.",
    "Try it for a month, and then tell me in the comments where I am wrong.",
    "Thanks to everybody in {city} who read a draft of this; the remaining mistakes are mine.",
    "If you take one thing away, {step}. The rest can wait.",
)

COMMENTS = (
    "Thank you for this. I have been fighting with the {trouble} since spring and never thought to {step}.",
    "I read this twice. The part about {tools} alone was worth it.",
    "Does this also work in a humid climate? Here in {city} my {things} behave quite differently.",
    "Respectfully, I disagree about {tools}. The cheap ones cost me more in the end.",
    "This took me back to my first {things}. I wish somebody had told me to {step}.",
    "Bookmarked. We start with {things} next weekend and I have no idea what I am doing.",
    "How long did it take until the {trouble} was gone for good?",
    "Finally somebody who says it out loud: most advice on {subject} is advertising.",
    "My father did it exactly like this, down to the notebook.",
    "I tried it yesterday. It works, but only if you really {step}.",
    "Could you share which {tools} you ended up with? Mine fell apart after {years} years.",
    "Lovely text. You make {subject} sound almost calm.",
    "Not sure that I follow the middle part. Is the {trouble} the cause or the result?",
    "Here is a counterexample from {city}: no {tools} at all, and the best {things} I have ever seen.",
    "I sent this to the whole group. Three of us changed our minds.",
    "Number of times I have ignored the advice to {step}: all of them. Number of regrets: the same.",
    "Small correction: that changed a few years ago, at least where I live. The rest matches what I see.",
    "Saved me an evening. Thank you!",
    "I would add one thing: ask a local club before spending money on {tools}.",
    "This is the third article on {things} I read today, and the only one that mentions the {trouble}.",
    "As a complete beginner in {subject} I needed exactly this.",
    "Ha, the {trouble}. I thought it was just me.",
    "What would you do differently if you had to begin again in a small flat?",
    "I was sceptical, then I looked at my own notes from last year. You are right.",
)
REPLIES = (
    "Good question, {name}. In my case it was the {trouble}, and it took a whole season to notice.",
    "Same here, {name}! It got better once I learned to {step}.",
    "I see it the other way round, but I cannot argue with your results.",
    "{name}, have you tried it without {tools} first?",
    "That is a fair point. I should have said that this is only true for small {things}.",
    "Could you post a picture? Hard to tell from a description.",
    "It depends on the season, I think. In winter I would not bother.",
    "Exactly this. Thank you for putting it better than I did.",
    "I doubt it, {name}. The {trouble} has a different cause nine times out of ten.",
    "We had this discussion at the club in {city} and did not settle it either.",
    "About {years} years, with breaks. Worth every one of them.",
    "Thanks, that helps. I will try to {step} and report back.",
    "Reporting back: it worked.",
    "Agreed, and it costs nothing to try.",
    "Let us say that we are both right on alternate weekends.",
    "{name}, you have just described my entire autumn.",
    "Where did you find those {tools}? I have been looking for months.",
    "No need to apologise, we all started there.",
    "Then I misunderstood you. In that case I agree with nearly everything.",
    "I kept the receipts for once: it was the {tools} and nothing else.",
)
ADDITIONS = (
    "Greetings from {city}.", "Anyway, thanks for writing.", "Curious what others think.",
    "It made a bigger difference than I expected.", "I may be wrong, of course.",
    "We will see how it holds up after the summer.", "My {things} thank you as well.",
    "The children have taken over since, so I cannot complain.", "Please do write about {tools} one day.",
    "For the record, I have no stake in any of this.",
)  # fmt: skip
