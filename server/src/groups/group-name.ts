/** A group's name as it is compared: neither case nor the spelling of its letters (Unicode NFC) makes another name. */
export function groupNameKey(name: string): string {
  return name.trim().normalize('NFC').toLowerCase().normalize('NFC');
}
