# Regular expressions, hashes and sorting over text made on the way; prints a checksum of everything.
use strict;
use warnings;
my $rounds = shift;
my $seed = 12345;
sub next_number { $seed = ($seed * 1103515245 + 12345) % 2147483648; return $seed >> 8 }
my %count;
my $sum = 2166136261;
# Not Digest::SHA, which is not in perl-base.
sub add { $sum = (($sum ^ $_) * 16777619) % 4294967296 for unpack 'N*', "$_[0]\0\0\0" }
for my $round (1 .. $rounds) {
  my $line = join ' ', map { chr(97 + next_number() % 26) x (1 + next_number() % 4) } 1 .. 40;
  $count{$1}++ while $line =~ /\b(\w+)\b/g;
  (my $twisted = $line) =~ s/([aeiou])(\w)/$2$1/g;
  add($twisted);
}
for my $word (sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count) {
  add("$word $count{$word}\n");
}
printf "%d %08x\n", scalar(keys %count), $sum;
