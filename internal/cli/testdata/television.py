"""A television that says what it is: it answers one M-SEARCH, and one GET of its description."""
import socket
import sys

addr = sys.argv[1]
DESCRIPTION = b"""<?xml version="1.0"?><root xmlns="urn:schemas-upnp-org:device-1-0"><device>
<friendlyName>Television</friendlyName><UDN>uuid:tv</UDN><serviceList><service>
<serviceType>urn:schemas-upnp-org:service:AVTransport:2</serviceType><controlURL>control</controlURL>
</service></serviceList></device></root>"""

pages = socket.create_server((addr, 0))
ssdp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
ssdp.bind(("", 1900))
ssdp.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("239.255.255.250") + socket.inet_aton(addr))
print("ready", flush=True)
question, asker = ssdp.recvfrom(4096)
assert question.startswith(b"M-SEARCH * HTTP/1.1\r\n"), question
answer = "HTTP/1.1 200 OK\r\nLOCATION: http://%s:%d/tv.xml\r\nST: urn:schemas-upnp-org:service:AVTransport:1\r\nUSN: uuid:tv\r\n\r\n"
reply = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
reply.bind((addr, 0))
reply.sendto((answer % (addr, pages.getsockname()[1])).encode(), asker)
pages.settimeout(20)
page, _ = pages.accept()
page.recv(4096)
page.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(DESCRIPTION) + DESCRIPTION)
page.close()
