// hot
/**
 * The encoder's dynamic table with an index by hash. Slots of evicted entries are left as they are: the
 * serial number in a slot tells whether its entry is still there. A look-up tries a few slots, so that
 * fields made to have one hash cost no more than others; what is overwritten there is not found any more.
 */

import { copyLower, equalsAt, equalsLowerAt } from "../../../base/bytes.ts";
import {
  DynamicTable,
  ENTRY_LENGTH,
  ENTRY_NAME,
  ENTRY_START,
  ENTRY_TAG,
  INITIAL_TABLE_BYTES,
} from "./dynamic-table.ts";

/** Slots looked at for one hash. */
const PROBES = 4;
/** Numbers of a slot: the hash, and the entry's serial number. */
const SLOT_INTS = 2;
/** Slots for each place of the table's ring, which keeps probes short. */
const SLOTS_PER_ENTRY = 4;

const NO_SLOTS = new Int32Array(0);

/** The table and its index. Others may clear the table, but not insert. An entry's tag is its hash. */
export class FieldIndex {
  readonly table: DynamicTable = new DynamicTable(INITIAL_TABLE_BYTES);
  #slots: Int32Array = NO_SLOTS;

  /** Changes the table's size; 0 gives all memory back. */
  resize(maxBytes: number): void {
    this.table.resize(maxBytes);
    if (maxBytes === 0) this.#slots = NO_SLOTS;
  }

  /** The field's age in the dynamic table, −1 when it is not there. */
  find(
    bytes: Uint8Array,
    nameStart: number,
    nameEnd: number,
    valueStart: number,
    valueEnd: number,
    hash: number,
  ): number {
    const slots = this.#slots;
    const table = this.table;
    if (slots.length === 0) return -1;
    const mask = slots.length - 1;
    let slot = (hash << 1) & mask;
    for (let probe = 0; probe < PROBES; probe++) {
      if (slots[slot] === hash) {
        const age = table.age(slots[slot + 1]!);
        const entry = table.at(age);
        if (
          entry >= 0 &&
          holds(
            table.bytes,
            table.entries,
            entry,
            bytes,
            nameStart,
            nameEnd,
            valueStart,
            valueEnd,
          )
        ) return age;
      }
      slot = (slot + SLOT_INTS) & mask;
    }
    return -1;
  }

  /** Inserts a field that is not larger than the table, its name lowered. */
  insert(
    bytes: Uint8Array,
    nameStart: number,
    nameEnd: number,
    valueStart: number,
    valueEnd: number,
    hash: number,
  ): void {
    const table = this.table;
    const entry = table.insert(bytes, nameStart, nameEnd, valueStart, valueEnd, hash);
    const start = table.entries[entry + ENTRY_START]!;
    copyLower(table.bytes, start, start + nameEnd - nameStart, table.bytes, start);
    const ints = (table.mask + 1) * SLOTS_PER_ENTRY * SLOT_INTS;
    if (ints === this.#slots.length) this.#note(hash, 0);
    else {
      this.#slots = new Int32Array(ints);
      for (let age = table.count - 1; age >= 0; age--) {
        this.#note(table.entries[table.at(age) + ENTRY_TAG]!, age);
      }
    }
  }

  /** Makes an entry findable; where all slots of its hash are taken, in place of another one. */
  #note(hash: number, age: number): void {
    const slots = this.#slots;
    const mask = slots.length - 1;
    const first = (hash << 1) & mask;
    let chosen = first;
    for (let probe = 0; probe < PROBES; probe++) {
      const slot = (first + probe * SLOT_INTS) & mask;
      if (this.table.age(slots[slot + 1]!) < this.table.count) continue;
      chosen = slot;
      break;
    }
    slots[chosen] = hash;
    slots[chosen + 1] = this.table.inserted - age;
  }
}

/** Whether an entry is that field, the name's case aside. */
export function holds(
  lines: Uint8Array,
  entries: Int32Array,
  entry: number,
  bytes: Uint8Array,
  nameStart: number,
  nameEnd: number,
  valueStart: number,
  valueEnd: number,
): boolean {
  const nameLength = entries[entry + ENTRY_NAME]!;
  if (nameLength !== nameEnd - nameStart) return false;
  if (entries[entry + ENTRY_LENGTH] !== nameLength + 2 + valueEnd - valueStart) return false;
  const start = entries[entry + ENTRY_START]!;
  return equalsAt(bytes, valueStart, valueEnd, lines, start + nameLength + 2) &&
    (equalsAt(bytes, nameStart, nameEnd, lines, start) ||
      equalsLowerAt(bytes, nameStart, nameEnd, lines, start));
}
