-- CreateTable
CREATE TABLE "SourcePosition" (
    "jobId" TEXT NOT NULL,
    "operatorId" TEXT NOT NULL,
    "taskIndex" INTEGER NOT NULL,
    "name" TEXT NOT NULL,
    "position" TEXT NOT NULL,
    "updatedAt" BIGINT NOT NULL,

    PRIMARY KEY ("jobId", "operatorId", "taskIndex"),
    CONSTRAINT "SourcePosition_jobId_fkey" FOREIGN KEY ("jobId") REFERENCES "Job" ("id") ON DELETE CASCADE ON UPDATE CASCADE
);
