"""The words of the page for people, in English, Indonesian and Khmer. Codes are never translated."""

from __future__ import annotations

from typing import Final

LANGUAGES: Final = ("en", "id", "km")
NAMES: Final = {"en": "English", "id": "Bahasa Indonesia", "km": "ភាសាខ្មែរ"}

_TABLE: Final[dict[str, tuple[str, str, str]]] = {
    "title": ("Evidence of one message", "Bukti satu pesan", "ភស្តុតាងនៃសារមួយ"),
    "lead": (
        (
            "This page was made from the files beside it. It proves nothing by itself: VERIFY.md says how to check "
            "the files, without trusting either authority."
        ),
        (
            "Halaman ini dibuat dari berkas di sampingnya. Halaman ini sendiri tidak membuktikan apa pun: VERIFY.md "
            "menjelaskan cara memeriksa berkas tanpa harus mempercayai salah satu pihak."
        ),
        (
            "ទំព័រនេះត្រូវបានបង្កើតពីឯកសារដែលនៅជាមួយវា។ ទំព័រនេះតែឯងមិនបញ្ជាក់អ្វីឡើយ៖ VERIFY.md "
            "ប្រាប់ពីរបៀបពិនិត្យឯកសារ ដោយមិនចាំបាច់ជឿអាជ្ញាធរណាមួយ។"
        ),
    ),
    "accepted": (
        "The recipient accepted this message.",
        "Penerima telah menerima pesan ini.",
        "អ្នកទទួលបានទទួលយកសារនេះ។",
    ),
    "rejected": (
        "The recipient refused this message, finally.",
        "Penerima menolak pesan ini secara final.",
        "អ្នកទទួលបានបដិសេធសារនេះជាស្ថាពរ។",
    ),
    "test": (
        "Test system: no real persons",
        "Sistem uji: bukan data orang sebenarnya",
        "ប្រព័ន្ធសាកល្បង៖ គ្មានទិន្នន័យមនុស្សពិត",
    ),
    "none": (
        "No answer of the recipient is in this file: it is not shown that the message arrived.",
        "Tidak ada jawaban penerima dalam berkas ini: tidak terbukti bahwa pesan telah sampai.",
        "គ្មានចម្លើយរបស់អ្នកទទួលនៅក្នុងឯកសារនេះទេ៖ មិនមានភស្តុតាងថាសារបានទៅដល់ឡើយ។",
    ),
    "facts": ("The message", "Pesan", "សារ"),
    "message": ("Message", "Pesan", "សារ"),
    "sender": ("Sender", "Pengirim", "អ្នកផ្ញើ"),
    "recipient": ("Recipient", "Penerima", "អ្នកទទួល"),
    "type": ("Type", "Jenis", "ប្រភេទ"),
    "case": ("Case", "Kasus", "ករណី"),
    "urgency": ("Urgency", "Urgensi", "ភាពបន្ទាន់"),
    "handling": ("Handling", "Penanganan", "លក្ខខណ្ឌប្រើប្រាស់"),
    "received": ("Recorded by the recipient at (UTC)", "Dicatat penerima pada (UTC)", "អ្នកទទួលបានកត់ត្រានៅ (UTC)"),
    "problem": ("Reason of the refusal", "Alasan penolakan", "មូលហេតុនៃការបដិសេធ"),
    "envelope": ("Envelope", "Sampul", "ស្រោមសំបុត្រ"),
    "signed": ("Signed by the sender at (UTC)", "Ditandatangani pengirim pada (UTC)", "អ្នកផ្ញើបានចុះហត្ថលេខានៅ (UTC)"),
    "answered": ("Receipt signed at (UTC)", "Tanda terima ditandatangani pada (UTC)", "បង្កាន់ដៃបានចុះហត្ថលេខានៅ (UTC)"),
    "digest": ("Digest of the event", "Sidik digital peristiwa", "កូដសង្ខេបនៃព្រឹត្តិការណ៍"),
    "exporter": ("Bundle made by", "Berkas dibuat oleh", "ឯកសារបង្កើតដោយ"),
    "steps": ("What the logs recorded", "Yang tercatat dalam log", "អ្វីដែលកំណត់ហេតុបានកត់ត្រា"),
    "time": ("Time (UTC)", "Waktu (UTC)", "ពេលវេលា (UTC)"),
    "log": ("Log of", "Log milik", "កំណត់ហេតុរបស់"),
    "index": ("Entry", "Entri", "ធាតុ"),
    "step": ("What happened", "Kejadian", "អ្វីដែលបានកើតឡើង"),
    "role": ("Role", "Peran", "តួនាទី"),
    "logs": ("The logs and who vouches for them", "Log dan siapa yang menjaminnya", "កំណត់ហេតុ និងអ្នកដែលធានា"),
    "size": ("Entries signed", "Entri yang ditandatangani", "ធាតុដែលបានចុះហត្ថលេខា"),
    "cosigned": ("Cosigned by, at (UTC)", "Ditandatangani bersama oleh, pada (UTC)", "ចុះហត្ថលេខារួមដោយ នៅ (UTC)"),
    "stamped": ("Stamped at (UTC)", "Dicap waktu pada (UTC)", "បោះត្រាពេលវេលានៅ (UTC)"),
    "nobody": ("nobody", "tidak ada", "គ្មាន"),
    "cards": (
        "Whose keys: compare the fingerprints by voice",
        "Kunci milik siapa: cocokkan sidik jari secara lisan",
        "កូនសោរបស់អ្នកណា៖ ប្រៀបធៀបស្នាមកូដដោយផ្ទាល់មាត់",
    ),
    "party": ("Authority", "Otoritas", "អាជ្ញាធរ"),
    "version": ("Card version", "Versi kartu", "កំណែកាត"),
    "fingerprint": ("Fingerprint", "Sidik jari", "ស្នាមកូដ"),
    "gaps": ("What this file does not show", "Yang tidak ditunjukkan berkas ini", "អ្វីដែលឯកសារនេះមិនបង្ហាញ"),
    "whole": ("Nothing is lacking.", "Tidak ada yang kurang.", "មិនខ្វះអ្វីទេ។"),
    "redacted": (
        "The content of the message is left out. Its digest is here: whoever has the message can compare.",
        "Isi pesan tidak disertakan. Sidik digitalnya ada: siapa pun yang memiliki pesan dapat mencocokkannya.",
        "ខ្លឹមសារនៃសារមិនត្រូវបានដាក់បញ្ចូលទេ។ កូដសង្ខេបមាននៅទីនេះ៖ អ្នកដែលមានសារអាចប្រៀបធៀបបាន។",
    ),
    "no-envelope": (
        "No envelope with this message was signed: nothing but the sender's own log speaks of it.",
        "Tidak ada sampul bertanda tangan yang memuat pesan ini: hanya log pengirim sendiri yang mencatatnya.",
        "គ្មានស្រោមសំបុត្រដែលបានចុះហត្ថលេខាមានសារនេះទេ៖ មានតែកំណត់ហេតុរបស់អ្នកផ្ញើប៉ុណ្ណោះដែលនិយាយអំពីវា។",
    ),
    "no-receipt": (
        "The recipient's signed receipt is not here. What it answered, only its log can show, where it is here.",
        "Tanda terima yang ditandatangani penerima tidak ada. Jawabannya hanya dapat ditunjukkan lognya, bila ada.",
        "គ្មានបង្កាន់ដៃដែលអ្នកទទួលបានចុះហត្ថលេខាទេ។ មានតែកំណត់ហេតុរបស់ខ្លួន (បើមាន) ដែលអាចបង្ហាញចម្លើយ។",
    ),
    "no-recipient-entry": (
        "The entry of the recipient's log is not here. Only its receipt, if there is one, says what it recorded.",
        "Entri log penerima tidak ada. Hanya tanda terimanya, bila ada, yang menyatakan apa yang dicatat.",
        "គ្មានធាតុក្នុងកំណត់ហេតុរបស់អ្នកទទួលទេ។ មានតែបង្កាន់ដៃ (បើមាន) ដែលប្រាប់ពីអ្វីដែលបានកត់ត្រា។",
    ),
    "recipient-not-cosigned": (
        "Nobody but the recipient vouches for its log: no witness has cosigned it here.",
        "Hanya penerima yang menjamin lognya: belum ada saksi yang menandatangani bersama di sini.",
        "មានតែអ្នកទទួលប៉ុណ្ណោះដែលធានាកំណត់ហេតុរបស់ខ្លួន៖ គ្មានសាក្សីបានចុះហត្ថលេខារួមនៅទីនេះទេ។",
    ),
    "sender-not-cosigned": (
        "Nobody but the sender vouches for its log: no witness has cosigned it here.",
        "Hanya pengirim yang menjamin lognya: belum ada saksi yang menandatangani bersama di sini.",
        "មានតែអ្នកផ្ញើប៉ុណ្ណោះដែលធានាកំណត់ហេតុរបស់ខ្លួន៖ គ្មានសាក្សីបានចុះហត្ថលេខារួមនៅទីនេះទេ។",
    ),
    "no-timestamp": (
        "No timestamp of an outside authority is here.",
        "Tidak ada cap waktu dari otoritas luar di sini.",
        "គ្មានត្រាពេលវេលារបស់អាជ្ញាធរខាងក្រៅនៅទីនេះទេ។",
    ),
    "timestamp-unjudged": (
        "A timestamp is here, and nobody judged it: the authority's certificates were not given.",
        "Ada cap waktu, tetapi belum diperiksa: sertifikat otoritasnya tidak diberikan.",
        "មានត្រាពេលវេលា ប៉ុន្តែមិនទាន់បានពិនិត្យទេ៖ វិញ្ញាបនបត្ររបស់អាជ្ញាធរមិនត្រូវបានផ្តល់ឱ្យ។",
    ),
    "submitted": ("Submitted", "Diajukan", "បានដាក់ស្នើ"),
    "held": ("Held back", "Ditahan", "បានផ្អាកទុក"),
    "released": ("Released", "Dilepas", "បានអនុញ្ញាតឱ្យផ្ញើ"),
    "sent": ("Sent", "Dikirim", "បានផ្ញើ"),
    "delivered": ("Delivered: accepted", "Sampai: diterima", "បានទៅដល់៖ ទទួលយក"),
    "refused": ("Received and refused", "Diterima dan ditolak", "បានទទួល ហើយបដិសេធ"),
    "arrived": ("Received", "Diterima", "បានទទួល"),
    "not-delivered": ("Not delivered", "Tidak sampai", "មិនបានទៅដល់"),
    "late": (
        "Not answered within the time of its urgency",
        "Tidak dijawab dalam batas waktu urgensinya",
        "មិនបានឆ្លើយតបក្នុងពេលកំណត់តាមភាពបន្ទាន់",
    ),
    "cancelled": ("Cancelled", "Dibatalkan", "បានបោះបង់"),
    "turned-down": ("Refused by the recipient", "Ditolak penerima", "អ្នកទទួលបានបដិសេធ"),
    "opened": ("Opened by an officer", "Dibuka petugas", "មន្ត្រីបានបើកមើល"),
    "erased": ("Erased", "Dihapus", "បានលុប"),
    "alarm": ("Alarm", "Peringatan", "ការជូនដំណឹង"),
    "by-system": ("gateway", "gateway", "ច្រកទិន្នន័យ"),
    "by-partner": ("partner's gateway", "gateway mitra", "ច្រកទិន្នន័យរបស់ដៃគូ"),
    "by-client": ("agency system", "sistem instansi", "ប្រព័ន្ធរបស់ស្ថាប័ន"),
    "by-officer": ("officer", "petugas", "មន្ត្រី"),
    "by-supervisor": ("supervisor", "penyelia", "អ្នកត្រួតពិនិត្យ"),
    "by-operator": ("operator", "operator", "អ្នកប្រតិបត្តិប្រព័ន្ធ"),
    "by-auditor": ("auditor", "auditor", "សវនករ"),
    "check": ("How to check", "Cara memeriksa", "របៀបពិនិត្យ"),
    "checking": (
        "Run the command below with the fingerprints you were given by both authorities, not those on this page.",
        "Jalankan perintah di bawah dengan sidik jari yang Anda terima dari kedua otoritas, bukan dari halaman ini.",
        "ដំណើរការពាក្យបញ្ជាខាងក្រោមជាមួយស្នាមកូដដែលអ្នកបានទទួលពីអាជ្ញាធរទាំងពីរ មិនមែនពីទំព័រនេះទេ។",
    ),
}
_STEP_WORDS: Final = {"received": "arrived", "rejected": "turned-down"}
"""Steps whose name is another word of the table."""


def word(key: str, language: str) -> str:
    """Return a text of the table."""
    return _TABLE[key][LANGUAGES.index(language)]


def step_word(step: str, language: str) -> str:
    """Return what a step is called; one without a word, of a type we do not know, keeps its name."""
    key = _STEP_WORDS.get(step, step)
    return word(key, language) if key in _TABLE else step


def role_word(role: str, language: str) -> str:
    """Return what a role is called; one we do not know keeps its name."""
    key = f"by-{role}"
    return word(key, language) if key in _TABLE else role


def keys() -> frozenset[str]:
    """Return the keys of the table, for its test."""
    return frozenset(_TABLE)
