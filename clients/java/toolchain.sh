# Ends the script that sources this with 77 where Maven or a JDK that is new enough is missing.
for program in javac mvn; do
  command -v $program >/dev/null || { echo "$program is absent" >&2; exit 77; }
done
[[ $(mvn --version) =~ Java\ version:\ ([0-9]+) ]] && ((BASH_REMATCH[1] >= 17)) || { echo 'needs JDK 17 or later' >&2; exit 77; }
