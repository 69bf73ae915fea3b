// Hashes of a package's files.

/** SHA-256 (FIPS 180-4), 64 hexadecimal digits. */
export async function sha256(bytes: Uint8Array): Promise<string> {
  // nothing here is shared memory
  const digest = await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>);
  return Array.from(new Uint8Array(digest), (b) => b.toString(16).padStart(2, "0")).join("");
}

/** SHA-256 of a text in UTF-8, in base64 (RFC 4648), for content security policies. */
export async function sha256Base64(text: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return btoa(String.fromCharCode(...new Uint8Array(digest)));
}
