"""The shapes of vendors' API keys and tokens."""

from __future__ import annotations

from penstock.stages.redact.detectors import MANY, Detector

_WORD = "(?<![A-Za-z0-9])"

_SHAPES = (
    rf"sk-[\w-]{{20,{MANY}}}",  # OpenAI, Anthropic, OpenRouter, DeepSeek
    r"A(?:KIA|SIA|BIA|CCA)[A-Z2-7]{16}",  # AWS access key ids
    r"AIza[\w-]{35}",  # Google
    r"GOCSPX-[\w-]{28}",  # Google OAuth
    rf"ya29\.[\w-]{{20,{MANY}}}",  # Google access tokens
    rf"gh[oprsu]_[A-Za-z0-9]{{36,{MANY}}}",  # GitHub
    rf"github_pat_\w{{22,{MANY}}}",  # GitHub, fine-grained
    rf"glpat-[\w.-]{{20,{MANY}}}",  # GitLab
    rf"xox[abeoprs]-[A-Za-z0-9-]{{10,{MANY}}}",  # Slack
    rf"xapp-[A-Za-z0-9-]{{10,{MANY}}}",  # Slack apps
    rf"[prs]k_(?:live|test)_[A-Za-z0-9]{{16,{MANY}}}",  # Stripe
    rf"whsec_[A-Za-z0-9+/=]{{24,{MANY}}}",  # webhook secrets of Stripe and others
    rf"hf_[A-Za-z0-9]{{30,{MANY}}}",  # Hugging Face
    rf"gsk_[A-Za-z0-9]{{40,{MANY}}}",  # Groq
    rf"xai-[A-Za-z0-9]{{60,{MANY}}}",  # xAI
    rf"pplx-[A-Za-z0-9]{{40,{MANY}}}",  # Perplexity
    rf"nvapi-[\w-]{{40,{MANY}}}",  # NVIDIA
    rf"r8_[A-Za-z0-9]{{37,{MANY}}}",  # Replicate
    rf"csk-[A-Za-z0-9]{{40,{MANY}}}",  # Cerebras
    rf"SG\.[\w-]{{16,64}}\.[\w-]{{16,{MANY}}}",  # SendGrid
    r"SK[0-9a-f]{32}",  # Twilio
    rf"npm_[A-Za-z0-9]{{36,{MANY}}}",  # npm
    rf"pypi-[\w-]{{50,{MANY}}}",  # PyPI
    rf"do[opr]_v1_[a-f0-9]{{64,{MANY}}}",  # DigitalOcean
    rf"shp(?:at|ca|pa|ss)_[a-fA-F0-9]{{32,{MANY}}}",  # Shopify
    rf"dapi[a-f0-9]{{32,{MANY}}}",  # Databricks
    rf"hv[bsr]\.[\w-]{{24,{MANY}}}",  # HashiCorp Vault
    rf"lin_api_[A-Za-z0-9]{{40,{MANY}}}",  # Linear
    rf"ntn_[A-Za-z0-9]{{40,{MANY}}}",  # Notion
    r"[0-9]{8,10}:AA[\w-]{33}",  # Telegram bots
)

API_KEYS = (
    *(Detector("api_key", _WORD + shape) for shape in _SHAPES),
    # Keys without a shape of their own, by the name that stands before them.
    Detector("api_key", r"(?i)aws_secret_access_key[\x22'\s:=]{1,8}[A-Za-z0-9/+]{40}"),
    Detector("api_key", r"AccountKey=[A-Za-z0-9+/]{86}=="),
)
