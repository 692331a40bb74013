"""For each kind what has to be found, and what looks like it and is not. None of it is anybody's."""

from __future__ import annotations

PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0123456789ABCDEF\n\n"
    + "MIIEpAIBAAKCAQEA7+/x0123456789abcdefghijklmnopqrstuvwxyzABCDEFGH\n" * 4
    + "-----END RSA PRIVATE KEY-----"
)
JWT = (
    "eyJhbGciOiJIUzI1NiJ9."
    + "eyJzdWIiOiIxMjM0NTY3ODkwIn0" * 6
    + "."
    + "dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P-lFUP0TH"
    + "s" * 24
)

FOUND: dict[str, list[str]] = {
    "email": ["jane.doe@example.com", "a@b.co", "o+tag@mail.example.co.uk", "x" * 64 + "@example.org", "jo@müller.de"],
    "phone": [
        "+1 555 123 4567",
        "+442079460958",
        "+44 (0) 20 7946 0958",
        "+49-30-1234567",
        "0049 30 1234567",
        "(555) 123-4567",
        "555-123-4567",
        "555.123.4567",
    ],
    "credit_card": [
        "4111111111111111",
        "5500 0000 0000 0004",
        "3782-822463-10005",
        "6011000990139424",
        "4111.1111.1111.1111",
    ],
    "iban": [
        "DE89370400440532013000",
        "GB82 WEST 1234 5698 7654 32",
        "fr1420041010050500013m02606",
        "NO93 8601 1117 947",
    ],
    "ssn": ["123-45-6789", "078 05 1120"],
    "ip": [
        "192.168.1.254",
        "8.8.8.8",
        "2001:db8::1",
        "fe80::1ff:fe23:4567:890a",
        "::1",
        "1:2:3:4:5:6:7:8",
        "::ffff:10.0.0.1",
    ],
    "mac": ["00:1A:2b:3c:4D:5e", "00-1a-2b-3c-4d-5e", "001a.2b3c.4d5e"],
    "url_credentials": ["user:hunter2", "admin:p@ss:word"],
    "jwt": [JWT, "eyJhbGciOiJub25lIn0.eyJhIjoxfQ.", "eyJ" + "x5c" * 300 + ".eyJhIjoxfQ.c2ln"],
    "private_key": [
        PEM,
        "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg",
        "-----BEGIN OPENSSH PRIVATE KEY-----\\nb3BlbnNzaC1rZXk\\n-----END OPENSSH PRIVATE KEY-----",
        "-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v2\n\nlQO\n=ab\n-----END PGP PRIVATE KEY BLOCK-----",
    ],
    "api_key": [
        "sk-proj-" + "Ab3_" * 12,
        "sk-ant-api03-" + "x-9A" * 20,
        "AKIAIOSFODNN7EXAMPLE",
        "AIza" + "Sy0-_" * 7,
        "ghp_" + "a1B2" * 9,
        "github_pat_" + "a1_B" * 12,
        "glpat-" + "abcd-efgh_1234567890",
        "xoxb-" + "123456789012-abcdefABCDEF",
        "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
        "hf_" + "abcdefghij" * 4,
        "SG." + "a" * 22 + "." + "b" * 43,
        "12345678:AA" + "bcd-_efgH1i" * 3,
        "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "AccountKey=" + "a/+0" * 21 + "ab==",
    ],
    "national_id": [
        "529.982.247-25",
        "52998224725",
        "44051401359",
        "12345678Z",
        "X1234567L",
        "1 84 12 76 451 089 46",
        "RSSMRA85T10A562S",
        "2341 2341 2346",
        "11010519491231002X",
        "811218-9876",
        "19811218-9876",
        "046 454 286",
        "111222333",
        "123456782",
        "86095742719",
        "86 095 742 719",
        "AB 12 34 56 C",
    ],
}

PASSED: dict[str, list[str]] = {
    "email": ["jane@", "@example.com", "jane@example", "jane at example.com", "a@b.c"],
    "phone": ["+1 555", "+12", "1+1555", "555-1234", "+0123456789"],
    "credit_card": ["4111111111111112", "1234 5678 9012 3456", "411111111111", "4444444444444444"],
    "iban": ["DE89370400440532013001", "XX89370400440532013000", "DE89 3704"],
    "ssn": ["000-12-3456", "666-12-3456", "900-12-3456", "123-00-4567", "123-45-0000", "123456789", "123-45-67890"],
    "ip": ["256.1.1.1", "1.2.3", "12:34:56", "std::vector", "abc::def", "a:b"],
    "mac": ["00:1A:2b:3c:4D", "00:1A:2b:3c:4D:5g"],
    "url_credentials": ["https://example.com:8080/a@b", "https://example.com/", "mailto:a@b"],
    "jwt": ["eyJhbGci", "eyJhbGciOiJub25lIn0", "eyJ.abc.def"],
    "private_key": ["-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----", "----BEGIN PRIVATE KEY----"],
    "api_key": ["sk-short", "task-" + "a" * 40, "AKIA1234", "ghp_tooshort", "hf_transformers"],
    "national_id": ["529.982.247-26", "12345678A", "X1234567A", "811218-9877", "111111111", "2341 2341 2341"],
}
