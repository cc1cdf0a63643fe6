"""Make the label sets and the roll-up tree in models/labels/ from WordNet 3.0.

    python labels.py --synset imagenet-synset.txt --wnids tiny-imagenet/wnids.txt --out ../models/labels

(The WordNet database is in Debian's wordnet-base; imagenet-synset.txt lists ILSVRC's 1000 classes in their order.)

A class is a noun synset; its id is `n` and the synset's 8-digit offset. Its name is the first lemma unless NAMES has a
plainer or clearer one. Its parents are those of PARENTS or else the hypernyms that KEEP lists, nearest first;
everything else up to WordNet's root is left out, since nobody rolls results up to "placental".
"""

import argparse
import json
from pathlib import Path

# The hypernyms worth keeping, by synset.
KEEP = {
    # animals
    "n02084071": "dog", "n02092468": "terrier", "n02099029": "retriever", "n02101108": "spaniel",
    "n02087551": "hound", "n02113335": "poodle", "n02104523": "sheepdog",
    "n02121620": "cat", "n02127808": "big cat", "n02114100": "wolf", "n02115335": "wild dog",
    "n02118333": "fox", "n02131653": "bear",
    "n02484322": "monkey", "n02470325": "ape", "n02469914": "primate", "n02329401": "rodent",
    "n02323902": "rabbit or hare", "n02395003": "pig", "n02419796": "antelope", "n01874434": "marsupial",
    "n01861778": "mammal", "n02062744": "whale", "n02503517": "elephant", "n02411705": "sheep", "n02374451": "horse",
    "n01503061": "bird", "n01844917": "water bird", "n01604330": "bird of prey", "n01816887": "parrot",
    "n01662784": "turtle", "n01674464": "lizard", "n01726692": "snake", "n01696633": "crocodilian",
    "n01699831": "dinosaur", "n01661091": "reptile", "n01627424": "amphibian", "n01639765": "frog",
    "n01629276": "salamander", "n02512053": "fish", "n01482330": "shark",
    "n02159955": "insect", "n02164464": "beetle", "n02274259": "butterfly", "n01772222": "spider",
    "n01769347": "arachnid", "n01974773": "crustacean", "n01976957": "crab", "n01940736": "mollusc",
    "n01914830": "coral", "n00015388": "animal",
    # plants, fungi, food
    "n11669921": "flower", "n12992868": "fungus", "n07705931": "fruit", "n07707451": "vegetable",
    "n13134947": "fruit", "n07881800": "drink", "n07884567": "alcoholic drink", "n07609840": "dessert",
    "n07679356": "bread", "n07810907": "sauce", "n07557434": "dish", "n07555863": "food", "n00021265": "food",
    "n00017222": "plant",
    # vehicles
    "n02958343": "car", "n04490091": "truck", "n02924116": "bus", "n04520170": "van", "n02834778": "bicycle",
    "n03790512": "motorcycle", "n02858304": "boat", "n04194289": "ship", "n04530566": "boat or ship",
    "n02686568": "aircraft", "n04468005": "train", "n04524313": "vehicle", "n04128837": "sailing boat",
    # buildings and structures
    "n02913152": "building", "n04202417": "shop", "n03953416": "place of worship", "n02898711": "bridge",
    "n03327234": "fence", "n04105068": "roof", "n04341686": "structure", "n03743902": "monument",
    "n03259505": "dwelling",
    # clothing
    "n03497657": "hat", "n03381126": "footwear", "n03380867": "footwear", "n04199027": "shoe", "n04371563": "swimsuit",
    "n03057021": "coat", "n04230808": "skirt", "n03815615": "tie", "n03502509": "headgear", "n03051540": "clothing",
    "n03419014": "clothing", "n02739668": "armour", "n03513137": "headgear",
    # household
    "n03405725": "furniture", "n03001627": "chair", "n02818832": "bed", "n04379243": "table",
    "n02729837": "appliance", "n03528263": "appliance", "n03101986": "cookware", "n03621049": "kitchen utensil",
    "n04381994": "tableware", "n02876657": "bottle", "n02883344": "box", "n02773037": "bag", "n03094503": "container",
    "n04447443": "toiletry", "n03636248": "lamp", "n03046257": "clock", "n04555897": "watch", "n04437953": "timepiece",
    "n02851099": "curtain or blind", "n03964744": "toy",
    # things to do work with, and to play with
    "n03800933": "musical instrument", "n04338517": "string instrument", "n04586932": "wind instrument",
    "n03915437": "percussion instrument", "n03614532": "keyboard instrument",
    "n04451818": "tool", "n03489162": "tool", "n04565375": "weapon", "n03467984": "gun", "n03082979": "computer",
    "n03918480": "computer", "n04401088": "telephone", "n03278248": "electronics", "n03733925": "measuring instrument",
    "n02778669": "ball", "n04285146": "sports equipment", "n03906997": "pen",
    "n03699975": "machine", "n03852280": "optical instrument", "n02942349": "camera",
    # the rest
    "n09287968": "landscape", "n09366317": "landscape", "n00007846": "person", "n04235291": "vehicle",
    "n03309808": "textile",
}

# Every class must reach one of these.
TOP = {
    "animal", "plant", "fungus", "food", "drink", "vehicle", "building", "structure", "clothing", "furniture",
    "household item", "container", "musical instrument", "tool", "weapon", "electronics", "machine",
    "sports equipment", "toy", "person", "landscape", "publication", "vehicle part", "personal item", "textile",
    "sign", "armour", "stationery", "medical item", "nature",
}

# Kept names that stand under another one that WordNet's path does not always pass.
UNDER = {
    "drink": "food", "appliance": "household item", "cookware": "household item", "kitchen utensil": "household item",
    "tableware": "household item", "toiletry": "personal item", "lamp": "household item", "timepiece": "household item",
    "curtain or blind": "household item", "computer": "electronics", "telephone": "electronics",
    "measuring instrument": "tool", "pen": "stationery", "camera": "electronics", "flower": "plant",
    "ball": "sports equipment", "bag": "container", "optical instrument": "tool", "monument": "structure",
    "armour": "clothing", "headgear": "clothing", "hat": "clothing", "footwear": "clothing", "bread": "food",
    "building": "structure", "furniture": "household item",
}

# What the first says makes the others misleading: to WordNet a wheeled vehicle is a container.
OVERRIDES = (("vehicle", ("container",)), ("timepiece", ("measuring instrument", "tool")))

# Parents where WordNet's path has none that help, or says something that nobody means.
PARENTS = {
    "n02666196": ["tool"], "n02786058": ["medical item"], "n02808440": ["bathroom fixture", "household item"],
    "n02814860": ["building", "structure"], "n02823750": ["tableware", "household item"], "n02825657": ["structure"],
    "n02834397": ["clothing"], "n02840245": ["stationery"], "n02843684": ["structure"], "n02877765": ["container"],
    "n02895154": ["armour", "clothing"], "n02906734": ["household item"], "n02910353": ["personal item"],
    "n02917067": ["train", "vehicle"], "n02965783": ["vehicle part"], "n02966193": ["structure"],
    "n02966687": ["tool"], "n02974003": ["vehicle part"], "n02999410": ["tool"], "n03045698": ["clothing"],
    "n03063599": ["tableware", "household item"], "n03075370": ["tool"], "n03126707": ["machine"],
    "n03141823": ["medical item"], "n03208938": ["vehicle part"], "n03220513": ["roof", "structure"],
    "n03223299": ["household item"], "n03240683": ["structure"], "n03250847": ["musical instrument"],
    "n03259280": ["cookware", "household item"], "n03271574": ["appliance", "household item"],
    "n03272562": ["train", "vehicle"], "n03291819": ["stationery"], "n03347037": ["household item"],
    "n03355925": ["structure"], "n03393912": ["train", "vehicle"], "n03424325": ["mask", "personal item"],
    "n03425413": ["tool"], "n03443371": ["tableware", "household item"], "n03467068": ["weapon"],
    "n03476684": ["personal item"], "n03492542": ["computer part", "electronics"],
    "n03496892": ["machine", "vehicle"], "n03527444": ["weapon"], "n03529860": ["electronics"],
    "n03530642": ["nature"], "n03532672": ["household item"], "n03598930": ["puzzle", "toy"], "n03627232": ["tool"],
    "n03633091": ["kitchen utensil", "household item"], "n03637318": ["household item"],
    "n03657121": ["camera part", "electronics"], "n03666591": ["tool"], "n03691459": ["electronics"],
    "n03692522": ["tool"], "n03706229": ["tool"], "n03710637": ["clothing"], "n03717622": ["structure"],
    "n03724870": ["mask", "personal item"], "n03729826": ["tool"], "n03733131": ["structure"],
    "n03733281": ["structure"], "n03759954": ["electronics"], "n03769881": ["bus", "vehicle"],
    "n03788365": ["household item"], "n03791053": ["motorcycle", "vehicle"],
    "n03793489": ["computer part", "electronics"], "n03794056": ["tool"], "n03803284": ["pet item", "household item"],
    "n03804744": ["tool"], "n03814639": ["medical item"], "n03814906": ["personal item"],
    "n03825788": ["personal item"], "n03843555": ["vehicle part"], "n03868863": ["medical item"],
    "n03873416": ["sports equipment"], "n03874293": ["vehicle part"], "n03874599": ["tool"], "n03876231": ["tool"],
    "n03888257": ["sports equipment"], "n03891332": ["machine"], "n03895866": ["train", "vehicle"],
    "n03908714": ["stationery"], "n03924679": ["machine"], "n03929660": ["musical instrument"],
    "n03929855": ["headgear", "clothing"], "n03933933": ["structure"], "n03938244": ["household item"],
    "n03944341": ["toy"], "n03976467": ["camera", "electronics"], "n03976657": ["structure"], "n03992509": ["tool"],
    "n03998194": ["household item"], "n04019541": ["sports equipment"], "n04023962": ["sports equipment"],
    "n04033995": ["household item"], "n04039381": ["sports equipment"], "n04040759": ["heater", "household item"],
    "n04041544": ["electronics"], "n04044716": ["tool"], "n04067472": ["sports equipment"],
    "n04069434": ["camera", "electronics"], "n04074963": ["electronics"], "n04116512": ["stationery"],
    "n04127249": ["personal item"], "n04131690": ["tableware", "household item"], "n04141327": ["weapon"],
    "n04146614": ["bus", "vehicle"], "n04152593": ["screen", "electronics"], "n04153751": ["tool"],
    "n04162706": ["vehicle part"], "n04201297": ["household item"], "n04228054": ["sports equipment"],
    "n04229816": ["headgear", "clothing"], "n04238763": ["measuring instrument", "tool"],
    "n04251144": ["sports equipment"], "n04258138": ["machine"], "n04264628": ["computer part", "electronics"],
    "n04265275": ["heater", "appliance", "household item"], "n04275548": ["nature"], "n04277352": ["tool"],
    "n04296562": ["structure"], "n04310018": ["train", "vehicle"], "n04317175": ["medical item"],
    "n04330267": ["appliance", "household item"], "n04332243": ["kitchen utensil", "household item"],
    "n04336792": ["medical item"], "n04355933": ["eyewear", "personal item"],
    "n04356056": ["eyewear", "personal item"], "n04367480": ["household item"], "n04372370": ["electronics"],
    "n04376876": ["medical item"], "n04380533": ["lamp", "household item"], "n04404412": ["screen", "electronics"],
    "n04417672": ["roof", "structure"], "n04435653": ["roof", "structure"], "n04456115": ["tool"],
    "n04485082": ["tool"], "n04487081": ["bus", "vehicle"], "n04505470": ["keyboard", "machine"],
    "n04507155": ["personal item"], "n04523525": ["roof", "structure"],
    "n04553703": ["bathroom fixture", "household item"], "n04562935": ["structure"],
    "n04579432": ["sports equipment"], "n04589890": ["household item"], "n04592741": ["vehicle part"],
    "n06359193": ["publication"], "n06596364": ["publication"], "n06785654": ["puzzle", "publication"],
    "n06794110": ["sign"], "n06874185": ["sign"], "n07248320": ["publication"], "n07565083": ["publication"],
    "n07802026": ["crop", "plant"], "n07930864": ["tableware", "household item"], "n09229709": ["nature"],
    "n11879895": ["crop", "plant"], "n12144580": ["vegetable", "plant", "food"], "n12267677": ["nut", "plant"],
    "n12620546": ["fruit", "plant"], "n12768682": ["nut", "plant"], "n13133613": ["vegetable", "plant", "food"],
    "n15075141": ["household item"],
}

# Plainer or clearer names than the first lemma; the names within one label set differ.
NAMES = {
    "n01514668": "rooster", "n01608432": "kite (bird)", "n01601694": "dipper (bird)", "n01558993": "American robin",
    "n01664065": "loggerhead sea turtle", "n01665541": "leatherback sea turtle", "n01677366": "iguana",
    "n01682714": "anole", "n01685808": "whiptail lizard", "n01694178": "chameleon", "n01697457": "Nile crocodile",
    "n01728572": "worm snake", "n01734418": "kingsnake", "n01755581": "diamondback rattlesnake",
    "n01773157": "yellow garden spider", "n01817953": "African grey parrot", "n01847000": "drake (duck)",
    "n01930112": "roundworm", "n02009912": "great egret", "n02012849": "crane (bird)", "n02017213": "gallinule",
    "n02027492": "dunlin", "n02085782": "Japanese chin", "n02085936": "Maltese", "n02086079": "Pekingese",
    "n02088238": "basset hound", "n02088632": "bluetick coonhound", "n02090379": "redbone coonhound",
    "n02093256": "Staffordshire bull terrier", "n02095889": "Sealyham terrier", "n02096051": "Airedale terrier",
    "n02096177": "cairn terrier", "n02096585": "Boston terrier", "n02097298": "Scottish terrier",
    "n02098413": "Lhasa apso", "n02101556": "clumber spaniel", "n02102040": "English springer spaniel",
    "n02108000": "Entlebucher", "n02108422": "bullmastiff", "n02110063": "Alaskan malamute", "n02110341": "Dalmatian",
    "n02111129": "Leonberger", "n02112137": "chow chow", "n02112706": "Brussels griffon",
    "n02113023": "Pembroke Welsh corgi", "n02113186": "Cardigan Welsh corgi", "n02113978": "Mexican hairless dog",
    "n02114367": "grey wolf", "n02114548": "Arctic wolf", "n02116738": "African wild dog", "n02120079": "Arctic fox",
    "n02123045": "tabby cat", "n02133161": "American black bear", "n02134084": "polar bear",
    "n02231487": "stick insect", "n02276258": "red admiral", "n02277742": "ringlet butterfly",
    "n02279972": "monarch butterfly", "n02281787": "gossamer-winged butterfly", "n02325366": "cottontail rabbit",
    "n02328150": "Angora rabbit", "n02389026": "sorrel horse", "n02395406": "pig", "n02415577": "bighorn sheep",
    "n02437312": "dromedary", "n02486261": "patas monkey", "n02488702": "colobus monkey",
    "n02492035": "capuchin monkey", "n02492660": "howler monkey", "n02493509": "titi monkey",
    "n02497673": "ring-tailed lemur", "n02509815": "red panda", "n02514041": "snoek", "n02536864": "coho salmon",
    "n02607072": "clownfish", "n02655020": "pufferfish",
    "n02704792": "amphibious vehicle", "n02747177": "trash can", "n02783161": "ballpoint pen", "n02786058": "Band-Aid",
    "n02797295": "wheelbarrow", "n02814533": "station wagon", "n02814860": "lighthouse", "n02817516": "bearskin hat",
    "n02835271": "tandem bicycle", "n02840245": "ring binder", "n02871525": "bookshop", "n02879718": "bow (weapon)",
    "n02892767": "bra", "n02930766": "taxi", "n02939185": "cauldron", "n02966687": "tool kit",
    "n02977058": "automated teller machine", "n02992529": "mobile phone", "n03000684": "chainsaw",
    "n03089624": "candy store", "n03126707": "crane (machine)", "n03187595": "dial telephone",
    "n03207743": "dishcloth", "n03208938": "disc brake", "n03337140": "filing cabinet", "n03388549": "four-poster bed",
    "n03424325": "gas mask", "n03445924": "golf cart", "n03476684": "hair slide", "n03483316": "hair dryer",
    "n03492542": "hard disk", "n03594734": "jeans", "n03595614": "T-shirt", "n03599486": "rickshaw",
    "n03673027": "ocean liner", "n03680355": "loafer", "n03697007": "sawmill", "n03710637": "maillot (tights)",
    "n03710721": "maillot (swimsuit)", "n03761084": "microwave oven", "n03786901": "mortar (bowl)",
    "n03793489": "computer mouse", "n03832673": "notebook computer", "n03854065": "pipe organ", "n03877472": "pajamas",
    "n03895866": "railway carriage", "n03902125": "payphone", "n03929660": "plectrum", "n03947888": "pirate ship",
    "n03950228": "pitcher (jug)", "n03954731": "plane (tool)", "n03983396": "soda bottle", "n03991062": "flowerpot",
    "n04019541": "hockey puck", "n04037443": "race car", "n04116512": "eraser", "n04118776": "ruler",
    "n04131690": "salt shaker", "n04141076": "saxophone", "n04141975": "weighing scale", "n04152593": "CRT screen",
    "n04200800": "shoe store", "n04243546": "slot machine", "n04335435": "tram", "n04355933": "sunglass (lens)",
    "n04367480": "mop", "n04372370": "electric switch", "n04389033": "tank (vehicle)", "n04399382": "teddy bear",
    "n04417672": "thatched roof", "n04428191": "threshing machine", "n04462240": "toy store",
    "n04467665": "semi-trailer truck", "n04515003": "upright piano", "n04517823": "vacuum cleaner",
    "n04553703": "sink", "n04554684": "washing machine", "n04592741": "aeroplane wing", "n04604644": "split-rail fence",
    "n04606251": "shipwreck", "n06359193": "website", "n06785654": "crossword", "n07248320": "dust jacket",
    "n07579787": "plate of food", "n07615774": "ice lolly", "n07697537": "hot dog", "n07714571": "cabbage",
    "n07742313": "Granny Smith apple", "n09421951": "shoal", "n09835506": "baseball player", "n10148035": "bridegroom",
    "n12620546": "rose hip", "n12768682": "horse chestnut", "n13133613": "ear of corn", "n15075141": "toilet paper",
}


def read_hypernyms(folder):
    """{wnid: [wnid of each hypernym]} of every noun synset, from data.noun."""
    hypernyms = {}
    for line in (Path(folder) / "data.noun").read_text().splitlines():
        if line.startswith("  "):
            continue
        fields = line.split(" | ")[0].split()
        at = 4 + 2 * int(fields[3], 16)  # past the words: the number of pointers, then four fields each
        pointers = [fields[at + 1 + 4 * i : at + 5 + 4 * i] for i in range(int(fields[at]))]
        hypernyms["n" + fields[0]] = ["n" + offset for symbol, offset, _, _ in pointers if symbol in ("@", "@i")]
    return hypernyms


def parents(wnid, name, hypernyms):
    """Plain names of what a class is, nearest first."""
    if wnid in PARENTS:
        return PARENTS[wnid]
    found, level, seen = [], [wnid], {wnid}
    while level:
        level = [h for w in level for h in hypernyms[w] if h not in seen]
        seen.update(level)
        found += [KEEP[w] for w in level if w in KEEP]
    found += [UNDER[f] for f in found if f in UNDER]
    found += [UNDER[f] for f in found if f in UNDER]
    for stronger, weaker in OVERRIDES:
        if stronger in found:
            found = [f for f in found if f not in weaker]
    tops = [f for f in found if f in TOP]
    return [f for f in dict.fromkeys([f for f in found if f not in TOP] + tops) if f != name]


def write(path, data):
    """JSON with one entry per line, so that a change shows as a change of a line."""
    items = data.items() if isinstance(data, dict) else data
    rows = [f"{json.dumps(i[0])}: {json.dumps(i[1])}" if isinstance(data, dict) else json.dumps(i) for i in items]
    start, end = "{}" if isinstance(data, dict) else "[]"
    path.write_text(start + "\n" + ",\n".join(rows) + "\n" + end + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wordnet", type=Path, default="/usr/share/wordnet")
    parser.add_argument("--synset", type=Path, required=True)
    parser.add_argument("--wnids", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    hypernyms = read_hypernyms(args.wordnet)
    lines = [line.split(" ", 1) for line in args.synset.read_text().splitlines()]
    names = {wnid: NAMES.get(wnid, words.split(",")[0].strip()) for wnid, words in lines}
    sets = {
        "imagenet-1000": [wnid for wnid, _ in lines],
        "tiny-imagenet-200": sorted(args.wnids.read_text().split()),
    }
    tree = {}
    for wnid in sorted(set().union(*sets.values())):
        up = parents(wnid, names[wnid], hypernyms)
        if not TOP & set(up):
            print(f"no top-level parent: {wnid} {names[wnid]} {up}")
        tree[wnid] = {"name": names[wnid], "parents": up}
    args.out.mkdir(parents=True, exist_ok=True)
    for name, wnids in sets.items():
        assert len({names[w].lower() for w in wnids}) == len(wnids), f"{name}: two classes with one name"
        write(args.out / f"{name}.json", [{"id": w, "name": names[w]} for w in wnids])
    write(args.out / "wordnet.json", tree)


if __name__ == "__main__":
    main()
