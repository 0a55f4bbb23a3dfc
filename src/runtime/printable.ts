/** Text from elsewhere, such as a broker's reason: PostgreSQL takes no NUL, and a terminal no escape sequence. */
export const printable = (text: string): string => text.replaceAll(/\p{Cc}/gu, '\ufffd').slice(0, 2000);
