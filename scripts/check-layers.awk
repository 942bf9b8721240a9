# Includes go down only. Reads C files, prints one line for each include that does not.
#
# A file of an engine layer includes that layer and those before it. A laboratory folder includes
# itself and public headers (train and convert also the engine's lower layers), programs (cli/, server/) their
# own files and public headers, cli also the server's; inside them a folder of the server those before it, one
# of commands itself and what all share. The public header
# weir/X.h belongs to the layer that it names or that is given below, else to base.

BEGIN {
    engine = split("base tensor file text position cache model sample embed stream", names, " ")
    for (i = 1; i <= engine; i++) layer[names[i]] = i
    lab = split("eval probe train convert plot ring store", names, " ")
    for (i = 1; i <= lab; i++) layer[names[i]] = engine + 1
    train_uses["base"] = train_uses["tensor"] = train_uses["file"] = 1
    train_uses["text"] = train_uses["position"] = 1
    # inside train: what these folders know beside themselves
    train_inside["kernels"] = train_inside["data"] = "nothing"
    train_inside["core"] = "kernels"
    train_inside["vocabulary"] = "data"
    convert_uses["base"] = convert_uses["tensor"] = convert_uses["file"] = 1
    layer["server"] = engine + 2
    layer["cli"] = engine + 3
    parts = split("parts http requests streams api", names, " ")
    for (i = 1; i <= parts; i++) server_part[names[i]] = i

    public_home["sampling"] = "sample"
    public_home["make_random"] = "model"
    public_home["observe"] = "model"
    public_home["detokenize"] = "model"
    public_home["chat"] = "model"
    public_home["streameval"] = "eval"
    public_home["cloze"] = "eval"
    public_home["machine"] = "eval"
    public_home["quantize"] = "convert"
    public_home["batch"] = "stream"
    public_home["positions"] = "position"
    public_home["weir"] = "stream" # the engine as a whole
}

function stem(path) {
    sub(/.*\//, "", path)
    sub(/\..*/, "", path)
    return path
}

function public_layer(path, name) {
    name = stem(path)
    if (name in public_home) name = public_home[name]
    return (name in layer) ? layer[name] : layer["base"]
}

FNR == 1 {
    split(FILENAME, part, "/")
    public = (part[1] == "include")
    folder = (part[1] == "src") ? part[2] : part[1]
    if (!public && !(folder in layer)) print FILENAME ": the layer order does not know this folder"
    own = public ? public_layer(FILENAME) : layer[folder]
}

/^[ \t]*#[ \t]*include[ \t]*"/ {
    split($0, quoted, "\"")
    target = quoted[2]
    where = FILENAME ":" FNR ": includes \"" target "\""
    split(target, step, "/")
    if (target !~ /\//) {
        if (own <= engine + 1 || part[3] != "") print where ", without its folder"
    } else if (step[1] == "weir") {
        if (public_layer(target) > own) print where ", a header of a higher layer"
    } else if (folder == "cli" && (step[1] == "server" || (part[3] != "" && step[1] == part[2]))) {
        next
    } else if (public || (own > engine + 1 && step[1] in layer)) {
        print where ", which is not a public header"
    } else if (folder == "server" && !(step[1] in server_part)) {
        print where ", a folder that the layer order does not know"
    } else if (folder == "server" && part[3] != "" && server_part[step[1]] > server_part[part[2]]) {
        print where ", a higher part of the server"
    } else if (folder == "cli" && step[1] != "common") {
        print where ", of another folder of commands"
    } else if (own > engine + 1) {
        next # its own
    } else if (!(step[1] in layer)) {
        print where ", a folder that the layer order does not know"
    } else if (folder == "train" && step[1] in train_uses) {
        next
    } else if (folder == "train" && step[1] == "train" && part[3] in train_inside &&
               step[2] != part[3] && step[2] != train_inside[part[3]]) {
        print where ", which " part[3] " does not know"
    } else if (folder == "convert" && step[1] in convert_uses) {
        next
    } else if (own == engine + 1 && step[1] != folder) {
        print where "; the laboratory uses public headers only"
    } else if (layer[step[1]] > own) {
        print where ", a higher layer"
    }
}
