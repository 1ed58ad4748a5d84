/** MD5 (RFC 1321) of what comes in pieces; browsers have none of their own. */

const K = Int32Array.from({ length: 64 }, (_, i) => Math.floor(Math.abs(Math.sin(i + 1)) * 2 ** 32) | 0);
const TURNS = [7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21];
const BLOCK = 64;

export class Md5 {
  private state = Int32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476);
  private rest = new Uint8Array(BLOCK);
  private held = 0;
  private length = 0;
  private words = new Int32Array(16);

  add(bytes: Uint8Array): void {
    this.length += bytes.length;
    let from = 0;
    if (this.held > 0) {
      from = Math.min(BLOCK - this.held, bytes.length);
      this.rest.set(bytes.subarray(0, from), this.held);
      this.held += from;
      if (this.held < BLOCK) return;
      this.blocks(this.rest, 0, BLOCK);
      this.held = 0;
    }
    const whole = from + Math.floor((bytes.length - from) / BLOCK) * BLOCK;
    this.blocks(bytes, from, whole);
    this.rest.set(bytes.subarray(whole));
    this.held = bytes.length - whole;
  }

  /** In lower-case hexadecimal; nothing may be added after. */
  hex(): string {
    const padding = new Uint8Array((this.held < 56 ? 56 : 120) - this.held + 8);
    padding[0] = 0x80;
    const end = new DataView(padding.buffer, padding.length - 8);
    end.setUint32(0, (this.length * 8) >>> 0, true);
    end.setUint32(4, Math.floor(this.length / 2 ** 29), true);
    this.add(padding);
    return Array.from(new Uint8Array(this.state.buffer), (byte) => byte.toString(16).padStart(2, '0')).join('');
  }

  private blocks(bytes: Uint8Array, from: number, to: number): void {
    const { words, state } = this;
    for (let at = from; at < to; at += BLOCK) {
      for (let i = 0; i < 16; i += 1) {
        const b = at + i * 4;
        words[i] = bytes[b]! | (bytes[b + 1]! << 8) | (bytes[b + 2]! << 16) | (bytes[b + 3]! << 24);
      }
      let a = state[0]!, b = state[1]!, c = state[2]!, d = state[3]!;
      for (let i = 0; i < 64; i += 1) {
        const round = i >> 4;
        let mixed: number, word: number;
        if (round === 0) { mixed = (b & c) | (~b & d); word = i; }
        else if (round === 1) { mixed = (d & b) | (~d & c); word = (5 * i + 1) & 15; }
        else if (round === 2) { mixed = b ^ c ^ d; word = (3 * i + 5) & 15; }
        else { mixed = c ^ (b | ~d); word = (7 * i) & 15; }
        const sum = (a + mixed + K[i]! + words[word]!) | 0;
        const turn = TURNS[round * 4 + (i & 3)]!;
        a = d;
        d = c;
        c = b;
        b = (b + ((sum << turn) | (sum >>> (32 - turn)))) | 0;
      }
      state[0] = (state[0]! + a) | 0;
      state[1] = (state[1]! + b) | 0;
      state[2] = (state[2]! + c) | 0;
      state[3] = (state[3]! + d) | 0;
    }
  }
}
