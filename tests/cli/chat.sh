# chat through a pipe: the model's words on stdout, everything else on stderr.
# shellcheck source=tests/cli/lib.sh
. "$(dirname "$0")/lib.sh"

model=$dir/model.gguf
make_model "$model"
export HOME="$dir"

talk() { "$weir" chat "$model" -n 8 --temp 0 "$@" >"$dir/out" 2>"$dir/err"; }

talk <<END
the river
END
ok 'an answer' test -s "$dir/out"
cp "$dir/out" "$dir/river"
ok 'says that there is no template' grep -q 'There is no chat template' "$dir/err"
"$weir" run "$model" --prompt 'the river' -n 8 --temp 0 >"$dir/run"
echo >>"$dir/run"
ok 'plain continuation' cmp "$dir/run" "$dir/out"

talk <<END
/help
/stats
/nonsense
/save
/back
/quit now
/quit
never read
END
ok 'no answer' test ! -s "$dir/out"
for word in /help /pin /fork /back /save /load /stats /quit; do
  ok "help has $word" grep -q "^  $word " "$dir/err"
done
ok 'stats' grep -q 'tokens so far  *0, forgotten 0' "$dir/err"
ok 'an unknown command' grep -q 'there is no /nonsense' "$dir/err"
ok 'an argument is missing' grep -q '/save FILE' "$dir/err"
ok 'nothing to drop' grep -q 'there is no copy' "$dir/err"
ok 'an argument too many' grep -q '/quit takes nothing' "$dir/err"

# Looking back says the same.
talk --lookup 4 <<END
the river
/stats
END
ok 'the same answer' cmp "$dir/out" "$dir/river"
ok 'drafts are counted' grep -q '^looked back ' "$dir/err"

# A copy: what is said to it leaves no trace.
talk <<END
the river
/fork
something else
/back
and the mill
END
sed -n '1p;3p' "$dir/out" >"$dir/forked"
talk <<END
the river
and the mill
END
ok 'fork and back' cmp "$dir/out" "$dir/forked"

# Saved and loaded.
talk <<END
the river
/save $dir/saved
END
talk <<END
/load $dir/saved
and the mill
END
ok 'save and load' test "$(cat "$dir/out")" = "$(sed -n 2p "$dir/forked")"
talk --load "$dir/saved" --save "$dir/again" <<END
and the mill
END
ok '--load' test "$(cat "$dir/out")" = "$(sed -n 2p "$dir/forked")"
ok '--save' test -s "$dir/again"
talk <<END
/load $dir/none
the river
END
ok 'a file that is not there' grep -q "$dir/none" "$dir/err"
ok 'and the talk goes on' cmp "$dir/out" "$dir/river"

# Pins, and forgetting.
talk --cache 32 <<END
the river
/pin 6
/pin 999
END
ok 'pinned' grep -q 'the first 6 tokens are never forgotten; beside them the last 26' "$dir/err"
ok 'more than there is' grep -q '/pin wants a number of tokens from 1 to' "$dir/err"
talk --cache 16 <<END
the river runs on
and the mill hums
END
equal 'forgetting is said once' "$(grep -c 'forgotten' "$dir/err")" 1
talk --system 'the mill stands' --evict message <<END
//quit is text
END
ok 'a slash' test -s "$dir/out"

# A template: what a line becomes, and what an answer ends with.
templated() { "$make_chat_model" "$model" "$dir/templated.gguf" "$1"; }
talk_templated() {
  "$weir" chat "$dir/templated.gguf" -n 8 --temp 0 "$@" >"$dir/out" 2>"$dir/err"
}
templated "{{ '<|im_start|>' + m['role'] + '<|im_end|>' }}"
talk_templated --evict message --cache 64 --system 'the mill stands' <<END
the river
and the mill
the river
and the mill
END
ok 'the template is named' grep -q 'The chat template is chatml' "$dir/err"
equal 'four answers' "$(wc -l <"$dir/out")" 4
ok 'turns are forgotten' grep -q 'forgotten' "$dir/err"
cp "$dir/out" "$dir/four"
talk_templated --evict message --cache 64 --system 'the mill stands' --chunk 3 --threads 1 <<END
the river
/save $dir/saved
and the mill
END
"$weir" chat "$dir/templated.gguf" -n 8 --temp 0 --load "$dir/saved" >"$dir/rest" 2>"$dir/err" <<END
and the mill
the river
and the mill
END
sed -n 1p "$dir/out" | cat - "$dir/rest" >"$dir/loaded"
ok 'saved and loaded between turns' cmp "$dir/loaded" "$dir/four"
"$weir" info "$dir/templated.gguf" >"$dir/out"
ok 'info names it' grep -q 'chat template  *chatml$' "$dir/out"
"$weir" info "$dir/templated.gguf" --json >"$dir/out"
equal 'in JSON too' "$(json "$dir/out" chat_format)" chatml
talk_templated --template gemma <<END
the river
END
ok 'another one' grep -q 'The chat template is gemma' "$dir/err"
refuses '--stop can be given 15 times' chat "$dir/templated.gguf" --template falcon \
  --stop a --stop b --stop c --stop d --stop e --stop f --stop g --stop h \
  --stop i --stop j --stop k --stop l --stop m --stop n --stop o --stop p
refuses 'no chat template alpaca' chat "$dir/templated.gguf" --template alpaca
# `run --template` says what the talk says, in one go.
talk_templated --system 'the mill stands' --save "$dir/saved" <<END
the river
END
answer() { tr '\n' ' ' | sed 's/^ *//;s/ *$//'; }
"$weir" run "$dir/templated.gguf" --template file --system 'the mill stands' --prompt 'the river' \
  -n 8 --temp 0 >"$dir/run"
equal 'run --template file' "$(answer <"$dir/run")" "$(answer <"$dir/out")"
"$weir" run "$dir/templated.gguf" --template chatml --system 'the mill stands' --policy dense \
  --prompt 'the river' -n 8 --temp 0 >"$dir/run"
ok 'dense' test -s "$dir/run"
"$weir" run "$dir/templated.gguf" --template file --prompt 'and the mill' --load "$dir/saved" \
  -n 8 --temp 0 >"$dir/run"
printf 'the river\nand the mill\n' | "$weir" chat "$dir/templated.gguf" -n 8 --temp 0 \
  --system 'the mill stands' >"$dir/out" 2>"$dir/err"
equal 'a talk goes on' "$(answer <"$dir/run")" "$(sed -n 2p "$dir/out" | answer)"
refuses '--template is for a prompt' run "$dir/templated.gguf" --template file --file "$dir/out"
refuses 'no chat template alpaca' run "$dir/templated.gguf" --template alpaca --prompt a
templated "{% for m in messages %}~{{ m }}{% endfor %}"
fails 'choose one of its own with --template NAME (llama-2, ' chat "$dir/templated.gguf"
"$weir" info "$dir/templated.gguf" >"$dir/out"
ok 'info says so' grep -q 'chat template  *unknown: ' "$dir/out"
talk_templated --template plain <<END
the river
END
ok 'none at all' grep -q 'There is no chat template' "$dir/err"

refuses '--sinks does not apply' chat "$model" --policy window --sinks 4
refuses 'there is no option --jsn' chat "$model" --jsn
done_with
