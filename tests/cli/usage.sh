# Usage errors: one sentence with the remedy on stderr, nothing on stdout, exit 2.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

model=$dir/model.gguf
make_model "$model"
printf 'some text to read\n' >"$dir/text"

# The program and its commands.
refuses 'did you mean run?' rnu "$model"
refuses 'weir --help' frobnicate
refuses 'a command comes first' --json-please
refuses 'needs a model' run
refuses 'needs a model' eval --text "$dir/text"
refuses 'one word too many' run "$model" hello
refuses 'one word too many' info "$model" other.gguf

# Options that do not exist, or come without their value, or twice, or with one too many.
refuses 'did you mean --window?' run "$model" --widnow 8
refuses '--help lists those' run "$model" --frobnicate
refuses 'did you mean -n?' run "$model" -m 5
refuses '--window needs a value: --window=N' run "$model" --window
refuses '--window needs a value' run "$model" --window --sinks 4
refuses '--prompt needs a value' run "$model" --prompt --json=1
refuses '-n needs a value: -n N' run "$model" -n
refuses '--window is given twice' run "$model" --window 8 --window 8
refuses '--window is given twice' run "$model" --window=8 --window 9
refuses '--stop-at-end takes no value' run "$model" -n -1 --stop-at-end=yes

# Numbers.
for bad in 0 -1 -100 eight 8x 4.5 '' ' 8' 1e3 99999999999999999999 9223372036854775807G 4m; do
  refuses '--window wants a whole number of at least 1' run "$model" --window="$bad"
done
refuses '--window wants a whole number of at least 1, not "0"' run "$model" --window 0
refuses '--window wants a whole number of at least 1, not "-8"' run "$model" --window -8
refuses '--window wants a whole number' run "$model" --window many
refuses '--threads wants a whole number from 1 to 256, not "0"' run "$model" --threads 0
refuses '--threads wants' run "$model" --threads -1
refuses '--threads wants' run "$model" --threads two
refuses '--threads wants' run "$model" --threads 257
refuses '--sinks wants a whole number of at least 0' run "$model" --sinks -1
refuses '--chunk wants' run "$model" --chunk 0
refuses '--chunk wants' run "$model" --chunk 1M
refuses '-n wants a whole number of at least -1' run "$model" -n -2
refuses '--seed wants' run "$model" --seed -1
refuses '--temp wants a number of at least 0, not "-1"' run "$model" --temp -1
refuses '--temp wants' run "$model" --temp hot
refuses '--temp wants' run "$model" --temp nan
refuses '--temp wants' run "$model" --temp inf
refuses '--top-p wants a number above 0 and at most 1, not "0"' run "$model" --top-p 0
refuses '--top-p wants' run "$model" --top-p 1.5
refuses '--min-p wants a number from 0 and below 1' run "$model" --min-p 1
refuses '--typical wants' run "$model" --typical 0
refuses '--repeat-penalty wants a number above 0' run "$model" --repeat-penalty 0
refuses '--penalty-window wants' run "$model" --penalty-window 65537
refuses '--every wants a number of lines or of seconds' run "$model" --file - --ask x --every 5m
refuses '--every wants' run "$model" --file - --ask x --every 0s
refuses '--window wants' eval "$model" --text "$dir/text" --window 8,
refuses '--window wants' eval "$model" --text "$dir/text" --window 8,x
refuses 'at most 16 values' eval "$model" --text "$dir/text" \
  --window 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17

refuses '--max-body wants a whole number from 1024 to 1073741824, not "1k1"' serve "$model" --max-body 1k1

# Words.
refuses '--policy knows no "sparse"' run "$model" --policy sparse
refuses 'sink window dense recompute' run "$model" --policy sparse
refuses '--policy knows no' eval "$model" --text "$dir/text" --policy sink,nonsense
refuses '--cache-type knows no "f64"' run "$model" --cache-type f64
refuses '--evict knows no' run "$model" --evict page
refuses '--logit-bias wants a token and a number' run "$model" --logit-bias 5
refuses '--logit-bias wants' run "$model" --logit-bias 5=x
refuses 'there is no token 512' run "$model" --logit-bias 512=1
refuses '--stop wants a text' run "$model" --stop ''
refuses 'scalar' run "$model" --cpu turbo

# What does not apply.
refuses '--sinks does not apply to --policy window' run "$model" --policy window --sinks 4
refuses 'or choose --policy sink' run "$model" --policy window --sinks 4
refuses '--sinks does not apply' run "$model" --policy recompute --sinks 4
refuses '--sinks does not apply' run "$model" --policy dense --sinks 4
refuses '--sinks does not apply' eval "$model" --text "$dir/text" --policy window,dense --sinks 4
refuses '--window does not apply' run "$model" --policy dense --window 8
refuses '--cache does not apply' run "$model" --policy dense --cache 8
refuses '--context does not apply' run "$model" --context 64
refuses '--context does not apply' plan "$model" --policy window --context 64
refuses '--beyond does not apply' run "$model" --beyond
refuses '--beyond does not apply' logits "$model" --tokens 1 --out "$dir/x" --beyond
refuses '--pin does not apply' run "$model" --policy window --pin 4
refuses '--system does not apply' run "$model" --policy window --system x
refuses '--evict does not apply' run "$model" --policy recompute --evict message
refuses '--window and --cache' run "$model" --window 8 --cache 12
refuses '--window and --cache' eval "$model" --text "$dir/text" --window 8 --cache 12
refuses '--window and --cache' plan "$model" --window 8 --cache 12
refuses '--prompt and --file' run "$model" --prompt x --file "$dir/text"
refuses '--stop-at-end does not apply without -n -1' run "$model" --stop-at-end
refuses '--stats does not apply with -n 0' run "$model" --prompt x -n 0 --stats 5
refuses '--top-k does not apply with --temp 0' run "$model" --temp 0 --top-k 5
refuses '--penalty-window does not apply' run "$model" --penalty-window 5
refuses '--ask and --every belong together' run "$model" --file - --ask x
refuses '--ask and --every belong together' run "$model" --file - --every 5s
refuses '--ask does not apply' run "$model" --prompt x --ask x --every 5s
refuses '--answer does not apply' run "$model" --prompt x --answer 5
refuses '--window does not apply with --load' run "$model" --load "$dir/none" --window 8
refuses '--system does not apply with --load' run "$model" --load "$dir/none" --system x
refuses '-n -1 never ends' run "$model" --policy dense -n -1
refuses 'there is no option --seed' eval "$model" --text "$dir/text" --seed 1

# What does not fit the model (trained for 128).
refuses 'at most 124' run "$model" --sinks 4 --window 5000
refuses 'at most 128' run "$model" --policy window --window 5000
refuses 'at most 124' eval "$model" --text "$dir/text" --sinks 4 --window 125
refuses 'at most 124' plan "$model" --sinks 4 --window 125
refuses '--beyond' run "$model" --policy dense --context 4k
refuses '--beyond' run "$model" --policy dense --prompt x -n 4k
refuses 'raise it' run "$model" --policy dense --context 8 --prompt x -n 20
refuses '--context N too' run "$model" --policy dense --beyond --file -
refuses 'at most 127 can be kept' run "$model" --pin 128
refuses 'can be kept' run "$model" --cache 8 --system 'more words than fit in there'
refuses 'leave out --tokens' eval "$model" --text "$dir/text" --tokens 4k
refuses 'which text?' eval "$model"
refuses 'which text?' tokenize "$model"
refuses 'which tokens?' logits "$model" --out "$dir/x"
refuses 'where to?' logits "$model" --tokens 1
refuses 'token 512' logits "$model" --tokens 1,512 --out "$dir/x"
for bad in '' ',' '1,' ',1' '1,,2' '1,x' -1 '[1,2' '1]' '[]' '1 2' 99999999999; do
  refuses '--tokens' logits "$model" --tokens="$bad" --out "$dir/x"
done
ok 'nothing is written' test ! -e "$dir/x"

# Files that are not there, or no model, are failures.
fails "$dir/none.gguf" info "$dir/none.gguf"
fails "$dir" info "$dir"
fails "$dir/text" info "$dir/text"
fails "$dir/none" run "$model" --file "$dir/none"
fails "$dir" run "$model" --file "$dir"
fails "$dir/none" run "$model" --load "$dir/none"
fails "$dir/none" tokenize "$model" --text "$dir/none"

# With --json the same is on stdout, as JSON.
got=0
"$weir" run "$model" --window 0 --json >"$dir/out" 2>"$dir/err" || got=$?
equal 'exit with --json' "$got" 2
equal 'status' "$(json "$dir/out" error.status)" USAGE
equal 'message' "weir: $(json "$dir/out" error.message)" "$(cat "$dir/err")"
for arguments in 'info none.gguf' 'tokenize none.gguf --text x' 'eval none.gguf --text x' \
  'plan none.gguf' 'run none.gguf' 'logits none.gguf --tokens 1 --out x' 'make-random' 'nothing'; do
  # shellcheck disable=SC2086 # separate words
  ! "$weir" $arguments --json >"$dir/out" 2>"$dir/err" || fail "$arguments succeeds"
  equal "$arguments" "weir: $(json "$dir/out" error.message)" "$(cat "$dir/err")"
done

# Rotary positions.
refuses '--rope-scaling knows no "bent"' run "$model" --rope-scaling bent
refuses '--rope-factor wants a number' run "$model" --rope-factor 0.5
refuses '--rope-base wants' run "$model" --rope-base 0
refuses '--rope-context wants' run "$model" --rope-context 0
refuses 'give --rope-factor' run "$model" --prompt x --rope-scaling yarn
refuses 'choose linear' run "$model" --prompt x --rope-factor 2
refuses 'needs lists of factors' run "$model" --prompt x --rope-scaling longrope
refuses '--rope-scaling does not apply with --load' run "$model" --load "$dir/text" \
  --rope-scaling linear

# Help.
ok 'help' "$weir" --help >"$dir/help"
ok 'bare' "$weir" >"$dir/bare"
ok 'bare is help' cmp -s "$dir/help" "$dir/bare"
ok 'version' starts "$("$weir" --version)" 'weir 0.'
for command in run chat eval streameval embed tokenize info plan logits make-random; do
  "$weir" "$command" --help >"$dir/out" || fail "$command --help"
  ok "$command --help" grep -q "^usage: weir $command" "$dir/out"
done
for command in run chat eval streameval embed tokenize info plan; do
  ok "help lists $command" grep -q "^  $command " "$dir/help"
done
for command in logits make-random; do
  ok "help does not list $command" not grep -q "^  $command" "$dir/help"
done

# "COMMAND -OPTION ARGUMENT" of all that help lists, and every option that takes a number names a range that
# has numbers in it.
sed -n 's/^  \([a-z]*\)  .*/\1/p' "$dir/help" >"$dir/commands"
while read -r command; do
  "$weir" "$command" --help | sed -n "s/^  \(-[-a-z0-9]*\)\([ ,].*\)/$command \1\2/p"
done <"$dir/commands" | sed 's/  .*//' >"$dir/options"
grep -E ' -[^ ]* (N|BYTES|SECONDS|X|P|R)$' "$dir/options" >"$dir/numbers"
ok 'there are numbers' test "$(wc -l <"$dir/numbers")" -gt 60
while read -r command option _; do
  got=0
  "$weir" "$command" "$option" x </dev/null >"$dir/out" 2>"$dir/err" || got=$?
  equal "weir $command $option x" "$got" 2
  if range=$(grep -oE 'from [-0-9.]+ (to|and at most|and below) [-+0-9.e]+' "$dir/err"); then
    # shellcheck disable=SC2086 # its words
    set -- $range
    ok "weir $command $option: $range" awk "BEGIN { for (i = 1; i < ARGC; i++) last = ARGV[i]; exit !(ARGV[2] < last) }" "$@"
  else
    ok "weir $command $option: $(cat "$dir/err")" grep -qE ' wants | at least |above ' "$dir/err"
  fi
done <"$dir/numbers"

# And no option is without a test.
cut -d ' ' -f 2 "$dir/options" | LC_ALL=C sort -u >"$dir/names"
ok 'there are options' test "$(wc -l <"$dir/names")" -gt 100
cat "$(dirname "$0")"/*.sh >"$dir/scripts"
while read -r option; do
  ok "a test of $option" grep -qE -e "(^|[^-a-z])$option([^-a-z]|\$)" "$dir/scripts"
done <"$dir/names"

# The pages and the commands know the same options.
docs=${WEIR_ROOT:-$(dirname "$0")/../..}/docs
options_of() { grep -oE -e '(^|[^-[:alnum:]])--[a-z0-9][a-z0-9-]*' "$@" | sed 's/^[^-]*//' | LC_ALL=C sort -u; }
ok 'there are commands' test "$(wc -l <"$dir/commands")" -gt 10
printf 'logits\nmake-random\n' >>"$dir/commands"
while read -r command; do
  "$weir" "$command" --help
done <"$dir/commands" >"$dir/all"
options_of "$dir/all" >"$dir/known"
cat "$docs/commands.md" "$docs/server.md" "$docs/probe.md" >"$dir/pages"
options_of "$dir/pages" >"$dir/written"
# not those of tests, and what belongs to other programs
"$weir" make-random --help >"$dir/out"
options_of "$dir/out" | LC_ALL=C comm -23 "$dir/known" - | LC_ALL=C comm -23 - "$dir/written" >"$dir/lacking"
equal 'options that no page has' "$(grep -vx -e --json "$dir/lacking" || :)" ''
options_of "$docs/commands.md" | LC_ALL=C comm -13 "$dir/known" - >"$dir/unknown"
equal 'options that are none' \
  "$(grep -vx -e --help -e --context-shift -e --rounds -e --peer-args -e --weir-args "$dir/unknown" || :)" ''

# Forms that are right.
for arguments in '--window=8 --sinks=2' '--window 8' '--cache 12' '--cache=0012' \
  '--policy window --window 8' '--policy recompute --cache 8' '--policy dense' '--seed 1k' \
  '--rope-scaling linear --rope-factor 2 --cache 100' '--rope-base 500'; do
  # shellcheck disable=SC2086 # separate words
  ok "$arguments" "$weir" run "$model" --prompt x -n 2 $arguments >/dev/null
done
ok 'the model at the end' "$weir" run --prompt --- -n 1 -- "$model" >/dev/null
done_with
