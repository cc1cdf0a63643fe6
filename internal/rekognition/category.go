package rekognition

// Amazon's names of categories (https://docs.aws.amazon.com/rekognition/latest/dg/labels.html) that classes here fall into.
const (
	animals    = "Animals and Pets"
	apparel    = "Apparel and Accessories"
	beauty     = "Beauty and Personal Care"
	buildings  = "Buildings and Architecture"
	food       = "Food and Beverage"
	furniture  = "Furniture and Furnishings"
	hobbies    = "Hobbies and Interests"
	home       = "Home and Indoors"
	appliances = "Home Appliances"
	kitchen    = "Kitchen and Dining"
	nature     = "Nature and Outdoors"
	offices    = "Offices and Workspaces"
	people     = "Person Description"
	plants     = "Plants and Flowers"
	sports     = "Sports"
	symbols    = "Symbols and Flags"
	technology = "Technology and Computing"
	documents  = "Text and Documents"
	tools      = "Tools and Machinery"
	toys       = "Toys and Gaming"
	vehicles   = "Vehicles and Automotive"
	weapons    = "Weapons and Military"
)

// categoryOf is the category of a class and of all narrower ones that have none of their own.
var categoryOf = map[string]string{
	"animal": animals, "pet item": animals,
	"clothing": apparel, "footwear": apparel, "headgear": apparel, "bag": apparel, "eyewear": apparel, "personal item": apparel, "watch": apparel,
	"toiletry":  beauty,
	"structure": buildings, "building": buildings, "shop": buildings, "bridge": buildings, "monument": buildings, "dwelling": buildings,
	"place of worship": buildings, "fence": buildings, "roof": buildings,
	"food": food, "drink": food, "dish": food, "fruit": food, "vegetable": food,
	"furniture": furniture, "lamp": furniture, "curtain or blind": furniture, "bathroom fixture": furniture,
	"musical instrument": hobbies,
	"household item":     home,
	"appliance":          appliances, "heater": appliances,
	"cookware": kitchen, "kitchen utensil": kitchen, "tableware": kitchen, "bottle": kitchen,
	"landscape": nature, "nature": nature,
	"stationery": offices, "pen": offices,
	"person": people,
	"plant":  plants, "flower": plants, "fungus": plants, "crop": plants,
	"sports equipment": sports, "ball": sports,
	"sign":        symbols,
	"electronics": technology, "computer": technology, "computer part": technology, "telephone": technology, "camera": technology, "screen": technology,
	"publication": documents,
	"tool":        tools, "machine": tools, "measuring instrument": tools,
	"toy": toys, "puzzle": toys,
	"vehicle": vehicles, "vehicle part": vehicles, "boat or ship": vehicles, "aircraft": vehicles, "train": vehicles,
	"weapon": weapons, "gun": weapons, "armour": weapons,
}

// categoriesOf returns the category of the narrowest class of line, nearest first, that has one.
func categoriesOf(line []string) []named {
	for _, class := range line {
		if c, ok := categoryOf[class]; ok {
			return []named{{c}}
		}
	}
	return []named{}
}
