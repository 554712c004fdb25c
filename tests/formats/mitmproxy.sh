mitmdump -p 8080 --ignore-hosts '^(.+\.)?okta\.com:443$' \
  --set ignore_hosts='\.apple\.com:' --ignore-hosts=crowdstrike\.com
