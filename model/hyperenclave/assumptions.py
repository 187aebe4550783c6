"""Everything that a verdict rests on and that is not proved here."""

from __future__ import annotations

from model.hyperenclave.state import HYPERENCLAVE

_assume = HYPERENCLAVE.assume

_assume(
    "ideal-hash",
    "cryptography",
    "SHA-256 of the record stream determines the stream: equal MRENCLAVE means equal records in equal order "
    "(axioms hash_started, hash_shape, hash_added, hash_extended, hash_added_chain, hash_extended_chain).",
    "No proof of collision resistance exists; the record format itself is checked byte for byte against hashlib.",
)
_assume(
    "page-offsets",
    "arithmetic",
    "Offset and page number determine each other for one base (axioms offset_inverse, page_inverse).",
    "True of subtraction on page numbers; the refinement reads both as 36-bit arithmetic.",
)
_assume(
    "save-and-restore",
    "model",
    "What a resume restores is what the exit saved, sanitised, whatever else the SSA frame holds (axiom ssa_inverse).",
    "Used by T3 only; refinement reads both functions word by word at the offsets of the SSA frame.",
)
_assume(
    "counting",
    "arithmetic",
    "A list of distinct frames is shorter than 2**36; a list of distinct CPUs is no longer than their number.",
    "The pigeonhole principle, which the representation invariant, being local to one entry, cannot derive.",
)
_assume(
    "sigstruct-signature",
    "scope",
    "The RSA signature in SIGSTRUCT is not verified; MRENCLAVE is compared with the field as given.",
    "Signature verification comes with a later version; MRSIGNER carries no claim until then.",
)
_assume(
    "monitor-choices",
    "refinement",
    "Which pool frames become tables, and when memory is exhausted, is equal in two runs with equal public state.",
    "Model proofs take it as given; T9 proves for each path that choices and outcomes do not depend on secret memory.",
)
_assume(
    "machine-primitives",
    "contract",
    "Zeroing, copying, flushing, allocating and releasing frames, saving extended state and hashing do what their "
    "contracts say.",
    "Each is a short function over real bytes, tested against a plain restatement by property-based tests.",
)
_assume(
    "launch",
    "hardware",
    "When the monitor is launched, reserved memory and all of the monitor's own fields hold zeros.",
    "The launcher zeroes the area before it loads the image; T9 proves of boot what follows from that.",
)
_assume(
    "hardware",
    "hardware",
    "The processor's walks, TLB, interrupts and DMA behave as the hardware actions say; accessed and dirty bits, "
    "caches, timing and micro-architectural state are outside the model. Control registers are set as the decoder "
    "reads tables: the normal VM enters an enclave in long mode with NXE and WP, and the monitor passes EFER on "
    "without SCE.",
    "T9h relates the actions to a decoder of real table bits, not to silicon.",
)
_assume(
    "atomic-calls",
    "concurrency",
    "A call of the monitor is atomic, but for EENTER and ERESUME, which are two steps.",
    "The reference monitor runs one handler at a time; finer interleavings come with a later version.",
)
_assume(
    "register-programs",
    "model",
    "What a program does next is a function of its registers and of what it loads.",
    "Any such function is allowed, so secret-dependent control flow is inside the theorems.",
)
_assume(
    "solver",
    "tool",
    "Z3 answers unsat only for unsatisfiable texts (evidence level S).",
    "Certificates and a second solver come with a later version.",
)
