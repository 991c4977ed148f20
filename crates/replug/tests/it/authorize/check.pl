#!/usr/bin/perl
# Decides about clients, in the manner of programs written for MAVIS: all attributes that came are
# sent back with the result among them.
use strict;
use warnings;

$| = 1;
my @attributes;
while (my $line = <STDIN>) {
    chomp $line;
    if ($line =~ /^=/) {
        my $denied = defined $attributes[14] && $attributes[14] =~ /\.2$/;
        $attributes[6] = $denied ? "NAK" : "ACK";
        $attributes[32] = "go away" if $denied;
        for my $number (0 .. $#attributes) {
            print "$number $attributes[$number]\n" if defined $attributes[$number];
        }
        print "=0\n";
        @attributes = ();
    } elsif ($line =~ /^(\d+) (.*)$/) {
        $attributes[$1] = $2;
    }
}
