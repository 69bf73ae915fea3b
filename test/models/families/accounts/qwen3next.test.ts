import { againstAccounts } from "./against-accounts.js";

againstAccounts("qwen3next");
