# What becomes of a lead. `map-records --config map-records.json --test '{"id": "1", "Phone": "0047 20 00 00 00"}'` shows it.
# Nothing is yielded for a record that is clean already: that is what keeps a night from writing what the night before wrote.

# Codes of countries, as people write their names; numbers of all others count as Norwegian.
def code: {NO: "47", Norway: "47", Sverige: "46", Germany: "49", FR: "33", Brasil: "55"}[.Country // ""] // "47";

# A text without whatever is no digit.
def digits: explode | . - (. - ("0123456789" | explode)) | implode;

# +4720000000, or +4720000000 x12 with an extension. What has less than six digits is no number: null.
def number(code):
  if . == null then . else
    # Of "ext. 12" and "x12" alike, what follows the `x`.
    ascii_downcase | split("x") as [$main, $extension]
    | ($main | digits) as $digits
    | if ($digits | length) < 6 then null
      else
        "+" + (
          if $main | contains("+") then $digits
          elif $digits | startswith("00") then $digits | ltrimstr("00")
          else code + ($digits | ltrimstr("0")) end
        ) + (if $extension then " x" + ($extension | digits) else "" end)
      end
  end;

def mail: if . == null then . else ascii_downcase | split("(at)") | join("@") | split(" ") | join("") end;

# From 0 to 100.
def score:
  if .Lead_Status == "Junk Lead" then 0 else
    (if .Email then 20 else 0 end)
    + (if .Phone or .Mobile then 20 else 0 end)
    + ([.No_of_Employees // 0, 400] | min / 10 | floor)
    + (if .Lead_Source == "Trade Show" then 20 elif .Lead_Source == "Web Download" then 10 else 0 end)
  end;

# Tests stay as they are.
select(.Last_Name != "Test" and (.Email // "" | startswith("test") | not))
| . as $lead
| .Email |= mail
| .Phone |= number($lead | code)
| .Mobile |= number($lead | code)
| .Score = score
| select(. != $lead)
