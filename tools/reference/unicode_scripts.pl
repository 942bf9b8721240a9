# Write src/train/vocabulary/script_table.c: the scripts of Unicode's characters, as this perl knows them.
#
#     perl unicode_scripts.pl > ../../src/train/vocabulary/script_table.c && clang-format-14 -i ...
use strict;
use warnings;
use Unicode::UCD qw(prop_invmap);

my ($begins, $scripts) = prop_invmap("Script");
my @ranges;
for my $i (0 .. $#$begins) {
    my $end = ($i < $#$begins ? $begins->[$i + 1] : 0x110000) - 1;
    my $script = $scripts->[$i];
    next if $script eq "Unknown";    # nobody's characters belong to those around them
    $script = "Han" if $script =~ /^(Hiragana|Katakana)$/;
    my $begin = $begins->[$i] == 0x30FD ? 0x30FC : $begins->[$i];    # the long vowel is Japanese
    if (@ranges && $ranges[-1][2] eq $script) { $ranges[-1][1] = $end }
    else { push @ranges, [$begin, $end, $script] }
}
@ranges = grep { $_->[2] ne "Common" } @ranges;

my %number = (Inherited => 1);
my $next = 2;
print "/* Which characters belong to which script: see scripts.h. Unicode "
    . Unicode::UCD::UnicodeVersion() . ", written by\n"
    . " * tools/reference/unicode_scripts.pl. Numbers tell scripts apart and mean nothing else. */\n"
    . "#include \"train/vocabulary/scripts.h\"\n\n"
    . "const wr_script_range wr_script_table[] = {\n";
for (@ranges) {
    my ($first, $last, $script) = @$_;
    $number{$script} //= $next++;
    printf "{0x%X, 0x%X, %d}, ", $first, $last, $number{$script};
}
print "};\n\nconst size_t wr_script_table_size = sizeof wr_script_table / sizeof wr_script_table[0];\n";
